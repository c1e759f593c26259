"""Imports go down only; import-linter's contracts in ``pyproject.toml`` say what that means."""

import subprocess
import sys
from pathlib import Path

from jupyter_secxops_migrate import rooms

ROOT = Path(__file__).parent.parent


def test_the_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_every_kind_of_operation_stands_in_the_layer_of_kinds() -> None:
    """A room that no layer names is checked by nobody."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    [layer] = [line for line in text.splitlines() if '"(sharing)' in line]
    assert {f"({kind})" for kind in rooms.KINDS} == set(layer.strip(' ",').split(" | "))
