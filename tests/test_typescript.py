"""The panel's own unit tests: what asks the service, keeps its answers and words them, without a browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "typescript.py"


@pytest.mark.slow
def test_the_parts_that_are_not_drawn() -> None:
    """Run only where a source of the panel has changed since they last passed."""
    done = subprocess.run([sys.executable, SCRIPT, "test"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
