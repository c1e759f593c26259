"""What strangers wrote, as a terminal, a notebook and a sentence may show it.

The names of files, the output of a build and the errors of an engine can hold anything: escape
sequences that write into the clipboard or hide what was printed, characters that turn the reading
direction round. What commands a screen is shown as an escape instead (`\\x1b`, `\\u202e`), so that a
name can still be recognised. Only for what people read: what machines read stays exact.

Part of the tools image, so it uses the standard library alone.
"""

from __future__ import annotations

import re

__all__ = ["counted", "one_line", "printable", "without_colours"]

_COMMANDS = re.compile(
    # C0 but the tab, C1; soft hyphen, marks and overrides of direction, lines and paragraphs,
    # what has no width or is deprecated, half characters, tags. Joiners stay: scripts need them.
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_COLOUR = re.compile("(?:\x1b\\[|\x9b)[0-9;:]*m")


def printable(text: str | bytes) -> str:
    """Return a text in one line, with what commands a screen as visible escapes; not reversible.

    Bytes that are not UTF-8 are shown as ``\\xff``, also where Python has put surrogates for them.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    return _COMMANDS.sub(_escape, text)


def one_line(text: str) -> str:
    """Return the lines of what a machine said as one line, `printable`."""
    return printable(" ".join(filter(None, map(str.strip, text.splitlines()))))


def counted(number: int, one: str, many: str) -> str:
    """Return ``1 file`` or ``6,210 files``."""
    return f"{number:,} {one if number == 1 else many}"


def without_colours(text: str) -> str:
    """Return a line of a command's output without its colours: as escapes they only hide words."""
    return _COLOUR.sub("", text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return ascii(match[0])[1:-1]
