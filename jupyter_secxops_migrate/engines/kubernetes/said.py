"""What a Job's container says: its log, each line once, and what commands beside it print, files among it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ... import errors
from ..output import LONGEST_SAID

_CHUNK = 256 * 1024
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|([+-]\d\d:\d\d))")
_OVERLAP = timedelta(seconds=1)


def sizes(files: Mapping[str, Path]) -> list[str]:
    """Return names with sizes, as a command in a Job's container is told what is given to it."""
    # A moment each, as reading them is.
    return [f"{name}={os.stat(path).st_size}" for name, path in files.items()]  # noqa: PTH116


async def chunks(files: Mapping[str, Path]) -> AsyncIterator[bytes]:
    """Yield the bytes of files, one after the other."""
    for path in files.values():
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk


class Stream:
    """What a command in a Job's container prints: lines, then files, each behind a line with its size.

    Attributes
    ----------
    ended_well
        Whether the command has ended, after its files.
    """

    def __init__(self, pod: str, printed: AsyncGenerator[bytes, None]) -> None:
        self._pod = pod
        self._chunks = printed
        self._rest = b""
        self.ended_well = False

    async def lines(self) -> AsyncIterator[str]:
        """Yield lines, until the command ends or no more are asked for."""
        while (line := await self._line()) is not None:
            yield line

    async def _line(self) -> str | None:
        """Return the next line, None where the command ends before it does."""
        while b"\n" not in self._rest:
            if len(self._rest) > LONGEST_SAID:
                raise self._failed("it said too much")
            if not (chunk := await anext(self._chunks, b"")):
                return None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace")

    async def files(self, results: Mapping[str, Path], come: asyncio.Event | None = None) -> None:
        """Take files, put those here in their places once all have ``come``, and wait for the command's end.

        An end that does not come after that is no error.
        """
        fresh = {name: path.with_name(path.name + ".new") for name, path in results.items()}
        for path in fresh.values():
            if (told := await self._line()) is None:
                raise self._failed("it ended early")
            if not told.isdecimal():
                raise self._failed("it said no size")
            await self._file(path, int(told))
        for name, path in results.items():
            fresh[name].replace(path)
        if come is not None:
            come.set()
        with contextlib.suppress(errors.SecxopsError):
            async for _ in self._chunks:
                pass  # its status comes last
            self.ended_well = True

    async def _file(self, path: Path, left: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            while left:
                self._rest = self._rest or await anext(self._chunks, b"")
                if not self._rest:
                    raise self._failed("it ended early")
                piece, self._rest = self._rest[:left], self._rest[left:]
                left -= file.write(piece)

    def _failed(self, reason: str) -> errors.EngineFailed:
        return errors.EngineFailed(action=f"read from {self._pod}", reason=reason)


class Seen:
    """The lines of a log that come again when it is asked for from where it broke off.

    By time, as a kubelet that begins another file no longer has the first lines to count from. It is
    asked by the second, and standard output and error may be written a moment out of order: so those
    of the last two seconds are asked for again.
    """

    def __init__(self) -> None:
        self._lines: deque[tuple[datetime, str]] = deque()
        self._awaited: Counter[str] = Counter()
        self._words: set[str] = set()

    def again(self) -> str:
        """Return since when the log is to be read; empty for from the first line on."""
        self._awaited = Counter(line for _, line in self._lines)
        if not self._lines:
            return ""
        last, _ = self._lines[-1]
        return f"{last - _OVERLAP:%Y-%m-%dT%H:%M:%SZ}"

    def take(self, line: str) -> str | None:
        """Return a line without its time, None if it has come before."""
        if self._awaited[line] > 0:
            self._awaited[line] -= 1
            return None
        stamp, _, text = line.partition(" ")
        if not (found := _STAMP.fullmatch(stamp)):
            # The kubelet's own word, each time that it is asked.
            new = line not in self._words
            self._words.add(line)
            return line if new else None
        second = datetime.fromisoformat(found[1] + (found[2] or "+00:00")).astimezone(timezone.utc)
        self._lines.append((second, line))
        while self._lines[0][0] < second - _OVERLAP:
            self._lines.popleft()
        return text
