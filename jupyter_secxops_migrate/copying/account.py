"""What a copy has counted, and what of the source did not arrive, or arrived otherwise.

It takes what the walk and the processes of the copy say; what must not be ends the copy at once, or at
its end with all that is like it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ..printable import printable
from .errors import CopyFailed, DiskFull, FileChanging, FileUnreadable, VerifyFailed
from .tally import Skipped, Tally

__all__ = ["Account", "Progress"]

MOST_SKIPPED = 1000


class Progress(NamedTuple):
    """How far it is. ``total_*`` is what was found so far, and all of it soon after the start."""

    files: int
    bytes: int
    total_files: int
    total_bytes: int


class Account:
    """Counts, and remembers. ``where`` names the source in errors."""

    def __init__(self, where: str, progress: Callable[[Progress], None] | None) -> None:
        self._where = where
        self._progress, self._told = progress, 0.0
        self.files = self.bytes = self.total_files = self.total_bytes = 0
        self.skipped, self.changed = Tally(MOST_SKIPPED), Tally(MOST_SKIPPED)
        self.chosen = Tally(MOST_SKIPPED)
        self.staying: set[bytes] = set()  # because of what is in them
        self.kept = 0
        self.unreadable = self.changing = 0
        self._first_unreadable: bytes | None = None
        self._first_changing: bytes | None = None
        self._lost: list[bytes] = []

    def add(self, files: int, size: int, kept: int) -> None:
        """Count what of a batch arrived, and how many of its files a clone had brought."""
        self.files += files
        self.bytes += size
        self.kept += kept

    def take(self, message: Any) -> None:
        """Take a message from whoever walks or copies."""
        kind = message[0]
        if kind == "bytes":
            self.bytes += message[1]
        elif kind == "skipped":
            self.skipped.add(Skipped(printable(message[1]), *message[2:]))
        elif kind == "changed":
            self.changed.add(Skipped(printable(message[1]), message[2]))
        elif kind == "gone":
            self._lost.append(message[1])
        elif kind == "stays":
            self.staying.add(message[1])
        elif kind == "chosen":
            self.chosen.add(Skipped(printable(message[1]), message[2]))
        elif kind == "unreadable":
            self.unreadable += 1
            self._first_unreadable = min(self._first_unreadable or message[1], message[1])
        elif kind == "changing":
            self.changing += 1
            self._first_changing = min(self._first_changing or message[1], message[1])
        elif kind == "full":
            raise DiskFull(step="copy")
        elif kind == "differs":
            raise VerifyFailed(
                "What was read back is not what was written.",
                count=1,
                path=self._where,
                first=printable(message[1]),
                node=os.uname().nodename,
            )
        elif kind == "short":
            raise self.bad_clone("the clone lacks what was there before it", message[1])
        else:
            raise CopyFailed(path=printable(message[1]), reason=message[2])

    def forget(self, path: bytes, state: os.stat_result | None) -> None:
        """Take back what was said of a path; ``state`` is that of the file that arrived there."""
        if state is not None:
            self.files -= 1
            self.total_files -= 1
            self.bytes -= state.st_size
            self.total_bytes -= state.st_size
        for tally in (self.skipped, self.changed):
            tally.drop(printable(path))

    def lost(self) -> list[bytes]:
        """Return, and forget, the files of repositories that were gone when they were to be copied."""
        lost, self._lost = self._lost, []
        return lost

    def bad_clone(self, reason: str, path: bytes) -> VerifyFailed:
        """Return the error that a clone is not what it should be."""
        return VerifyFailed(
            reason=reason,
            count=1,
            path=self._where,
            first=printable(path),
            node=os.uname().nodename,
        )

    def raise_if_incomplete(self) -> None:
        """Raise the error of what could not be read, or did not hold still."""
        if self.unreadable and self._first_unreadable is not None:
            raise FileUnreadable(
                count=self.unreadable, path=self._where, first=printable(self._first_unreadable)
            )
        if self.changing and self._first_changing is not None:
            raise FileChanging(
                count=self.changing, path=self._where, first=printable(self._first_changing)
            )

    def tell(self, *, last: bool = False) -> None:
        """Say how far it is, five times a second at most."""
        if self._progress is None:
            return
        now = time.monotonic()
        if last or now - self._told >= 0.2:
            self._told = now
            self._progress(
                Progress(
                    self.files,
                    self.bytes,
                    self.total_files,
                    max(self.bytes, self.total_bytes),
                )
            )
