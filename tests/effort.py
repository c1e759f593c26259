"""How much is tried: as much as a test says, and more of it in ``make soak``."""

from __future__ import annotations

import os
from typing import Any

import pytest

TIMES = int(os.environ.get("SECXOPS_EXAMPLES", "1"))


def examples(number: int) -> int:
    """Return how many examples hypothesis tries where ``make test`` tries a number."""
    return number * TIMES


def soaked(*values: Any, id: str | None = None) -> Any:
    """Values of a parametrized test that only ``make soak`` tries."""
    return pytest.param(*values, marks=pytest.mark.soak, id=id)
