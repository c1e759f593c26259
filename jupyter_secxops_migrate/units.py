"""Sizes and times as people read them; one place, so that every sentence says them alike.

Only for what people read. What machines read stays in bytes and seconds.
"""

from __future__ import annotations

_SIZES = ("bytes", "KB", "MB", "GB", "TB", "PB")


def human_size(size: float) -> str:
    """Return a size as ``48 MB`` or ``1.4 GB``.

    Parameters
    ----------
    size
        Bytes, not negative. Units are binary (1 MB = 1024² bytes), as `model.parse_size` reads
        them, so that what is shown can be typed.
    """
    number = float(size)
    unit = 0
    # 999.5 and not 1024: "1,012 MB" is harder to read than "1 GB".
    while number >= 999.5 and unit < len(_SIZES) - 1:
        number /= 1024
        unit += 1
    if unit == 0:
        return "1 byte" if size == 1 else f"{int(size)} bytes"
    text = f"{number:.1f}" if number < 9.95 else f"{number:.0f}"
    return f"{text.removesuffix('.0')} {_SIZES[unit]}"


def human_duration(seconds: float) -> str:
    """Return a time as ``less than a second``, ``20 s``, ``2 min`` or ``1 h 5 min``.

    Parameters
    ----------
    seconds
        Not negative.
    """
    if seconds < 1:
        return "less than a second"
    if seconds < 89.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
