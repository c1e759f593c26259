"""What does not arrive, or arrives changed: rows to be read, and sums that leave nothing out."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import NamedTuple

from .walk import Descent, listing

__all__ = ["Skipped", "Tally", "files_below"]


class Skipped(NamedTuple):
    """A path, relative to the root and as text, and why it does not arrive, or arrives changed.

    ``files`` and ``bytes`` are what it stands for: those below a folder, or of many such paths.
    """

    name: str
    reason: str
    files: int = 1
    bytes: int = 0


class Tally:
    """Lists the first ``most``; the others are one row for each reason, named ``…``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: list[Skipped] = []
        self._more: dict[str, Skipped] = {}

    def add(self, row: Skipped) -> None:
        """Take a row."""
        if len(self._rows) < self._most:
            self._rows.append(row)
            return
        before = self._more.get(row.reason, Skipped("…", row.reason, 0))
        self._more[row.reason] = before._replace(
            files=before.files + row.files, bytes=before.bytes + row.bytes
        )

    def drop(self, name: str) -> None:
        """Forget what is listed of a path: it is looked at again."""
        self._rows = [row for row in self._rows if row.name != name]

    def rows(self) -> tuple[Skipped, ...]:
        """Return all of it."""
        return (*self._rows, *self._more.values())


def files_below(parent: int, name: bytes) -> tuple[int, int]:
    """Count what an entry stands for that is left out: files and bytes, as far as they can be seen.

    Folders and symbolic links are no files; but what is left out counts as one at least.
    """
    files = size = 0
    descent = Descent(parent)
    pending = [name]
    try:
        while pending:
            path = pending.pop()
            folder, _, last = path.rpartition(b"/")
            with contextlib.suppress(OSError):
                state = os.lstat(last, dir_fd=descent.to(folder))
                if stat.S_ISDIR(state.st_mode):
                    # The last one pushed is the next one: the way to it is short.
                    below = listing(descent.to(path))
                    pending += [path + b"/" + one.rstrip(b"/") for one in below]
                elif not stat.S_ISLNK(state.st_mode):
                    files += 1
                    size += state.st_size if stat.S_ISREG(state.st_mode) else 0
    finally:
        descent.close()
    return max(files, 1), size
