"""The lines of the manifest and the side file: each process writes its own, then they are put in order.

Batches are numbered in the order of their paths, so their lines need no sorting. What was met only when
folders were looked at again (see `again`) belongs between them: then, and only then, lines are merged.
"""

from __future__ import annotations

import errno
import heapq
import io
import json
import os
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .content import CREATE
from .manifest import from_text, read_manifest, sort_key

__all__ = ["MANIFEST", "META", "Ledger", "Spool"]

MANIFEST, META = 0, 1


class Spool:
    """Where a process puts its lines until they are put in order: two unlinked files."""

    def __init__(self, index: int, folder: int) -> None:
        self.index = index
        self.manifest = _unlinked(folder, b"manifest", index)
        self.meta = _unlinked(folder, b"meta", index)
        self.manifest_end = self.meta_end = 0

    def put(self, manifest: bytes, meta: bytes) -> tuple[int, int, int, int, int]:
        """Append lines; return where: index, then offset and length in both files."""
        at = (self.index, self.manifest_end, len(manifest), self.meta_end, len(meta))
        _write(self.manifest, manifest)
        _write(self.meta, meta)
        self.manifest_end += len(manifest)
        self.meta_end += len(meta)
        return at

    def close(self) -> None:
        """Close both files, which removes them."""
        os.close(self.manifest)
        os.close(self.meta)


def _unlinked(folder: int, kind: bytes, index: int) -> int:
    name = b".spool-%s-%d-%d" % (kind, os.getpid(), index)
    descriptor = os.open(name, CREATE, 0o600, dir_fd=folder)
    os.unlink(name, dir_fd=folder)
    return descriptor


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class _Row(NamedTuple):
    key: bytes
    path: bytes
    line: bytes


class Ledger:
    """Where the lines of each batch are.

    ``settled`` is how many batches there were when folders began to be looked at again; the later ones are
    not in the order of the others.
    """

    def __init__(self) -> None:
        self.batches = 0
        self.settled: int | None = None
        self._dropped: dict[bytes, int] = {}
        self._index = array("Q")

    def begin(self) -> int:
        """Return the number of a new batch."""
        self._index.extend((0, 0, 0, 0, 0))
        self.batches += 1
        return self.batches - 1

    def note(self, number: int, at: Sequence[int]) -> None:
        """Remember where a batch's lines were put (see `Spool.put`)."""
        self._index[number * 5 : number * 5 + 5] = array("Q", at)

    def drop(self, path: bytes) -> None:
        """Forget all lines of a path that were written in the batches so far."""
        self._dropped[path] = self.batches

    def lines(self, which: int, spools: Sequence[Spool]) -> Iterator[bytes]:
        """Yield the manifest's lines, or those of the side file, in pieces of whole lines."""
        if not self._dropped and self.settled in (None, self.batches):
            for number in range(self.batches):
                yield self._read(which, spools, number)
            return
        settled = self.batches if self.settled is None else self.settled
        late = sorted(self._rows(which, spools, settled, self.batches))
        for row in heapq.merge(self._rows(which, spools, 0, settled), late):
            yield row.line

    def _rows(self, which: int, spools: Sequence[Spool], start: int, end: int) -> Iterator[_Row]:
        row_of = (_manifest_row, _meta_row)[which]
        for number in range(start, end):
            for line in io.BytesIO(self._read(which, spools, number)):
                row = row_of(line)
                if number >= self._dropped.get(row.path, 0):
                    yield row

    def _read(self, which: int, spools: Sequence[Spool], number: int) -> bytes:
        at = self._index[number * 5 : number * 5 + 5]
        spool = spools[at[0]]
        descriptor = (spool.manifest, spool.meta)[which]
        return _read(descriptor, at[1 + 2 * which], at[2 + 2 * which])


def _manifest_row(line: bytes) -> _Row:
    path = next(read_manifest([line]))[0]
    return _Row(path, path, line)


def _meta_row(line: bytes) -> _Row:
    entry = json.loads(line)
    path = from_text(entry["path"])
    return _Row(sort_key(path, entry["type"] == "directory"), path, line)


def _read(descriptor: int, offset: int, length: int) -> bytes:
    data = os.pread(descriptor, length, offset)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), offset + len(data))
        if not more:
            raise OSError(errno.EIO, "lines of the manifest were lost")
        data += more
    return data
