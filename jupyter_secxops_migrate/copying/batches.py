"""Batches of entries, from whoever walks to the processes that copy; what links to another file waits.

Entries are added in the order of their paths. The ledger knows where the lines of each batch went.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Iterator
from typing import Any

from .account import Account
from .copier import Copier
from .entries import BLOB, LINE, LINK
from .lines import Ledger
from .manifest import skipped_line
from .pool import BATCH_BYTES, BATCH_ENTRIES, LARGE, Pool

__all__ = ["Batches"]

UNKNOWN = 64 << 10  # a guess, for batches of things whose size costs too much to ask for
_dump, _load = marshal.dumps, marshal.loads


class _Links:
    """Files with several names: the first that the walk meets is copied, the others are linked."""

    def __init__(self) -> None:
        self._left: dict[int, int] = {}
        self.first: dict[int, bytes] = {}
        self.digest: dict[int, str] = {}

    def meet(self, key: int, state: os.stat_result, path: bytes) -> bytes | None:
        """Return the first name of this file (`link_key`), None if this is it."""
        first = self.first.get(key)
        if first is None:
            self.first[key] = path
            self._left[key] = state.st_nlink - 1
            return None
        self._left[key] -= 1
        if self._left[key] <= 0:
            # All its names were met: no need to remember it (a tree may have very many).
            del self._left[key], self.first[key]
        return first


class Batches:
    """Makes batches and hands them out.

    ``pool`` is set before anything is added, ``linker``, which makes the links, before `settle`.
    """

    pool: Pool
    linker: Copier

    def __init__(self, account: Account) -> None:
        self.ledger = Ledger()
        self.links = _Links()
        self._account = account
        self._deferred: list[tuple[int, bytes]] = []
        self._segments: list[tuple[bytes, list[Any]]] = []
        self._segment_links = False
        self._segment_entries = self._segment_bytes = 0

    def put(
        self, folder: bytes, entry: tuple[Any, ...], *, size: int = 0, link: bool = False
    ) -> None:
        """Add an entry of a folder; ``size`` in bytes, ``link`` if it has to wait for another file."""
        if self._segments and link != self._segment_links and (link or entry[0] != LINE):
            self.flush()
        self._segment_links = link or (self._segment_links and bool(self._segments))
        if not self._segments or self._segments[-1][0] != folder:
            self._segments.append((folder, []))
            self._segment_bytes += len(folder)
        self._segments[-1][1].append(entry)
        self._segment_entries += 1
        self._segment_bytes += size
        if self._segment_entries >= BATCH_ENTRIES or self._segment_bytes >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand out what was added so far."""
        if not self._segments:
            return
        number, segments = self.ledger.begin(), self._segments
        if self._segment_links:
            self._deferred.append((number, _dump(segments)))
        else:
            late = self.ledger.settled is not None
            batch = (number, bool(self._account.unreadable), late, segments)
            self.pool.add(batch, urgent=self._segment_bytes >= LARGE)
        self._segments = []
        self._segment_links = False
        self._segment_entries = self._segment_bytes = 0

    def put_blob(
        self,
        folder: bytes,
        name: bytes,
        content: bytes | tuple[bytes, str],
        mode: int,
        special: int = 0,
    ) -> None:
        """Add a file that git has (its store and name there), or that we made."""
        # Git tells a blob's size only by unpacking it: the total grows as blobs are written.
        self.put(folder, (BLOB, name, content, mode, special), size=UNKNOWN)

    def skip(self, folder: bytes, path: bytes, reason: str, files: int = 1, size: int = 0) -> None:
        """Add the line of a path that is left out, and account for it."""
        self.put(folder, (LINE, skipped_line(path, reason)))
        self._account.take(("skipped", path, reason, files, size))

    def take(self, message: Any) -> None:
        """Take a message from whoever copies."""
        if message[0] == "done":
            _, number, at, files, copied, primaries, kept = message
            self.ledger.note(number, at)
            self._account.add(files, copied, kept)
            self.links.digest.update(primaries)
        else:
            self._account.take(message)

    def settle(self) -> Iterator[None]:
        """Wait for all that was ordered so far, and make the links to it."""
        self.flush()
        yield from self.pool.drain()
        self._link_all()

    def _link_all(self) -> None:
        """Make the hard links, now that what they lead to is there."""
        for number, dumped in self._deferred:
            segments = [
                (
                    folder,
                    [
                        entry if entry[0] != LINK else (*entry[:4], self.links.digest.get(entry[2]))
                        for entry in entries
                    ],
                )
                for folder, entries in _load(dumped)
            ]
            self.linker.work((number, bool(self._account.unreadable), False, segments))
            self._account.tell()
        self._deferred.clear()
