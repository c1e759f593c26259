"""What a project's commands print, cut into lines in linear time and bounded memory.

A build or an image may print gigabytes, or one line without an end. Neither is kept: of a long line
its beginning, of a long output its first and its last lines, and a line says that it was cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..printable import counted

LONGEST_LINE = 4096
"""How many bytes of a line are kept."""
LONGEST_SAID = 32 * 1024 * 1024
"""How many bytes of a line are kept in which one of our own Jobs may say something."""
MOST_BYTES = 1024 * 1024
"""How much of one output is passed on as it comes."""
LAST_BYTES = 64 * 1024
"""How much of its end follows then: what failed is told there."""
DISK_FULL = "no space left on device"
_USER_OF_URL = re.compile(r"(?<=://)[^/\s@]+@")


def without_passwords(text: str) -> str:
    """Return text without what stands before the ``@`` of a URL's host: user and password."""
    return _USER_OF_URL.sub("…@", text)


class Lines:
    """Cuts chunks into lines, without their ends."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._kept = bytearray()
        self._more = 0

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the lines that a chunk ends."""
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            self._add(piece)
            yield self._take()
        self._add(rest)

    def rest(self) -> Iterator[str]:
        """Yield the line that was not ended, if there is one."""
        if self._kept:
            yield self._take()

    def _add(self, piece: bytes) -> None:
        room = self._longest - len(self._kept)
        self._kept += piece[:room]
        self._more += max(0, len(piece) - room)

    def _take(self) -> str:
        text = self._kept.decode("utf-8", "replace")
        if self._more:
            text = f"{text}… ({counted(self._more, 'more byte', 'more bytes')})"
        self._kept.clear()
        self._more = 0
        return text


class Output:
    """Cuts chunks into lines for a log; of what comes after ``most`` bytes, only the last ones."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._left = most
        self._lines = Lines()
        self._end = bytearray()
        self._dropped = 0

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the lines that a chunk ends, while there is room for more."""
        now, later = chunk[: self._left], chunk[self._left :]
        if now:
            self._left -= len(now)
            yield from self._lines.feed(now.replace(b"\r", b"\n"))
            if not self._left:
                yield from self._lines.rest()
                yield "This is a long output: of what follows, only the last lines are kept."
        self._end += later
        if len(self._end) > 2 * LAST_BYTES:  # seldom, so that it stays linear
            self._forget()

    def rest(self) -> Iterator[str]:
        """Yield what is left at the end."""
        self._forget()
        if self._dropped:
            yield f"… ({counted(self._dropped, 'byte', 'bytes')} left out)"
        yield from self._lines.feed(bytes(self._end).replace(b"\r", b"\n"))
        yield from self._lines.rest()
        self._end.clear()
        self._dropped = 0

    def _forget(self) -> None:
        over = max(0, len(self._end) - LAST_BYTES)
        del self._end[:over]
        self._dropped += over
