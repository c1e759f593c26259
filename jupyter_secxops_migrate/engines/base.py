"""Where engines were described before their roles had modules of their own; goes with the next release."""

from __future__ import annotations

import warnings
from typing import Any

from . import names, orders, output, probing, roles

_NOW = (names, orders, output, probing, roles)


def __getattr__(name: str) -> Any:
    for module in _NOW:
        if hasattr(module, name):
            warnings.warn(
                f"{__name__}.{name} is {module.__name__}.{name} now, and goes from here with the next release",
                DeprecationWarning,
                stacklevel=2,
            )
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
