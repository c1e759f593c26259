"""Kubernetes quantities (``100m``, ``1.5``, ``2Gi``, ``1e3``, ``5E``) as exact integers.

The grammar is that of ``k8s.io/apimachinery/pkg/api/resource/quantity.go``. An amount is kept as
whole thousandths, rounded up, as the API server keeps it (``SetDefaults_ResourceList``): so a sum
of amounts is exact, and is rounded up to what the scheduler counts once, at its end. No floating
point anywhere.
"""

from __future__ import annotations

import re
from functools import lru_cache

LARGEST = 2**63 - 1
"""The largest amount that Kubernetes counts to; what is larger counts as this."""

_QUANTITY = re.compile(
    r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?[0-9]+))?"
)
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_LONGEST = 100
"""Characters; more are hostile, and would be work for nothing."""


def milli(value: str | int | float) -> int:
    """Return a quantity in thousandths, rounded up.

    Parameters
    ----------
    value
        A quantity as Kubernetes' JSON has it: text, or a number.

    Raises
    ------
    ValueError
        It is no quantity, or below zero.
    """
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a quantity such as 500m or 2Gi")
    return _milli(value if isinstance(value, str) else repr(value))


@lru_cache(maxsize=8192)
def _milli(text: str) -> int:
    """Read one; remembered, as a cluster's pods ask for the same few amounts over and over."""
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or not (match[2] or match[3]):
        raise ValueError(f"{text[:40]!r} is not a quantity such as 500m or 2Gi")
    sign, whole, fraction, suffix, exponent = match.groups(default="")
    digits = int(whole + fraction or "0")
    if digits == 0:
        return 0
    if sign == "-":
        raise ValueError(f"{text[:40]!r} is below zero")
    # Beyond what any suffix says, an exponent only asks for a number too large, or for one thousandth.
    power = max(-200, min(200, int(exponent))) if exponent else _DECIMAL.get(suffix, 0)
    power += 3 - len(fraction)
    number = digits << _BINARY.get(suffix, 0)
    scale: int = 10 ** abs(power)
    number = number * scale if power >= 0 else -(-number // scale)
    return min(number, LARGEST * 1000)


def whole(value: str | int | float) -> int:
    """Return a quantity in whole units (bytes, counts), rounded up.

    Raises
    ------
    ValueError
        It is no quantity, or below zero.
    """
    return units(milli(value))


def units(thousandths: int) -> int:
    """Return thousandths as whole units, rounded up, as ``Quantity.Value()`` does."""
    return -(-thousandths // 1000)


def format_milli(thousandths: int) -> str:
    """Return millicores as Kubernetes writes them: ``1500m``, ``2``."""
    _not_negative(thousandths)
    full, rest = divmod(thousandths, 1000)
    return f"{thousandths}m" if rest else str(full)


def format_bytes(size: int) -> str:
    """Return bytes as Kubernetes writes them, in the largest binary unit that loses nothing."""
    _not_negative(size)
    for suffix, shift in reversed(_BINARY.items()):
        if size and size % (1 << shift) == 0:
            return f"{size >> shift}{suffix}"
    return str(size)


def _not_negative(number: int) -> None:
    if number < 0:
        raise ValueError(f"{number} is below zero")
