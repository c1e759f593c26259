"""The folders of a copy: made empty when the walk enters them, given their metadata when all in them is there.

What a folder is to get waits in a file, so that memory does not grow with their number.
"""

from __future__ import annotations

import marshal
import os
from array import array
from collections.abc import Iterator
from typing import Any

from .account import Account
from .again import Folder, Seen
from .batches import Batches
from .entries import LINE, Options
from .lines import Spool
from .manifest import entry_line, xattrs_digest
from .metadata import ANY_MODE, apply_metadata
from .walk import Descent

__all__ = ["Folders"]

_dump, _load = marshal.dumps, marshal.loads


class Folders:
    """Makes folders. ``made`` leads through the destination; ``spool`` has what waits."""

    def __init__(
        self, made: Descent, spool: Spool, options: Options, batches: Batches, account: Account
    ) -> None:
        self.made = made
        self._spool, self._options = spool, options
        self._batches, self._account = batches, account
        self._folders = array("Q")

    def make(self, path: bytes) -> None:
        """Make a folder that is nobody else's while it is filled."""
        parent, _, name = path.rpartition(b"/")
        os.mkdir(name, 0o700, dir_fd=self.made.to(parent))

    def note(
        self,
        path: bytes,
        owner: tuple[int, int],
        mode: int,
        times: tuple[int, int],
        attributes: list[tuple[str, bytes]],
        where: bytes | None = None,
        listed: Seen | None = None,
    ) -> None:
        """Write a folder's entry, and remember what it gets when all in it is there."""
        line = entry_line(
            path,
            b"directory",
            mode=mode,
            owner=owner,
            mtime_ns=self._options.in_unit(times[1]),
            xattrs=xattrs_digest(attributes),
        )
        self._batches.put(path, (LINE, line))
        at = self._spool.put(b"", _dump((path, owner, mode, times, attributes, where, listed)))
        self._folders.extend(at[3:])

    def listed(self) -> Iterator[Folder]:
        """Yield the folders as they were listed, each before those in it."""
        for at in range(0, len(self._folders), 2):
            path, *_, where, listed = self._record(at)
            yield Folder(path, where, None if listed is None else tuple(listed))

    def apply_metadata(self) -> tuple[Any, ...]:
        """Give folders their metadata, the deepest first; return what the root is to get."""
        for at in range(len(self._folders) - 2, 0, -2):
            path, *rest = self._record(at)
            apply_metadata(self.made.to(path), *self._metadata(path, rest))
        path, *rest = self._record(0)
        return self._metadata(path, rest)

    def _record(self, at: int) -> Any:
        return _load(os.pread(self._spool.meta, self._folders[at + 1], self._folders[at]))

    def _metadata(self, path: bytes, rest: list[Any]) -> tuple[Any, ...]:
        owner, mode, times, attributes, *_ = rest

        def lost(reason: str) -> None:
            self._account.take(("changed", path, reason))

        return (
            tuple(owner) if self._options.privileged else None,
            mode,
            tuple(times),
            attributes,
            lost,
            ANY_MODE,
        )
