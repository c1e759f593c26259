"""The bytes of one file: copied, hashed on the way out, and hashed again as they are read back.

Works on descriptors; names, metadata and retries are `copier`'s. The hash is BLAKE3, because it is
several times faster than copying, so that proving costs little.

Read back means: through the destination's own descriptor, from the kernel. That finds a write that
went wrong on its way to the page cache, a full quota that lied, a clone of the wrong file. It does
not find a disk that loses what it accepted; `verify`, later and from another process, finds that.

Where the file system can share blocks between files (XFS, btrfs), nothing is written at all: the
destination is made of the source's own blocks. Reading them a second time would prove that the disk
gives the same answer twice. Instead the kernel is asked, through both descriptors, which blocks
the files consist of; only if that can't be told, or differs, is the destination read back.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable

from blake3 import blake3

__all__ = [
    "CHUNK",
    "CREATE",
    "Content",
    "Mismatch",
    "SourceError",
    "Writer",
    "same_blocks",
    "settle",
]

CHUNK = 1 << 20
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FICLONE = 0x40049409
TICK_NS = 12_000_000
FIEMAP = 0xC020660B
FIEMAP_HEADER = struct.Struct("=QQIIII")
FIEMAP_EXTENT = struct.Struct("=QQQ16xI12x")
FIEMAP_EXTENTS = 17
# Unknown, not allocated yet, encoded, encrypted, not aligned, inline, packed with others.
FIEMAP_UNSETTLED = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400
FIEMAP_UNWRITTEN = 0x800
NO_CLONE = frozenset(
    {
        errno.EOPNOTSUPP,
        errno.EXDEV,
        errno.EINVAL,
        errno.ENOTTY,
        errno.ENOSYS,
        errno.EPERM,
        errno.EACCES,
    }
)
# From here on a file is hashed by several threads: below it starting them costs more.
THREADS_FROM = 8 << 20

Writer = Callable[[int, memoryview], int]


class SourceError(Exception):
    """Reading the source failed; ``error`` is the `OSError`."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class Mismatch(Exception):
    """What was read back is not what was written."""


class Content:
    """Copies contents, one after the other, with buffers of its own.

    Parameters
    ----------
    write
        What writes to the destination; anything but `os.write` is for proving that a write that
        goes wrong is found.
    tick
        Called with the number of bytes done, now and then, while a large file is copied.
    """

    def __init__(
        self, write: Writer = os.write, tick: Callable[[int], None] = lambda done: None
    ) -> None:
        self._write = write
        self._tick = tick
        self._clone = write is os.write
        self._out = memoryview(bytearray(CHUNK))
        self._back = memoryview(bytearray(CHUNK))
        self._zeros = memoryview(bytes(THREADS_FROM))

    def copy(self, source: int, destination: int, size: int, sparse: bool) -> str | None:
        """Copy ``size`` bytes from one descriptor's start to the other's.

        Returns
        -------
        str or None
            BLAKE3 (hex) of the content; None when the source proved shorter than ``size``.

        Raises
        ------
        SourceError
            The source could not be read.
        Mismatch
            What was read back differs.
        OSError
            The destination could not be written.
        """
        if size == 0:
            return EMPTY
        if self._clone and self._cloned(source, destination):
            digest = self.digest(source, size, sparse, of_source=True)
            if same_blocks(source, destination, size):
                return digest
            return self._compared(digest, destination, size, sparse)
        if sparse:
            return self._copy_sparse(source, destination, size)
        if size <= CHUNK:
            out = self._out
            count = self._read(source, out, 0)
            if count != size:
                return None
            out = out[:size]
            self._write_all(destination, out)
            digest = blake3(out).hexdigest()
            back = self._back[:size]
            if os.preadv(destination, [back], 0) != size or blake3(back).hexdigest() != digest:
                raise Mismatch
            return digest
        return self._copy_large(source, destination, size)

    def put(self, data: bytes, destination: int) -> str:
        """Write ``data`` that we made ourselves; returns and raises like `copy`."""
        self._write_all(destination, memoryview(data))
        digest = blake3(data).hexdigest()
        if self.digest(destination, len(data), False) != digest:
            raise Mismatch
        return digest

    def digest(
        self, descriptor: int, size: int, sparse: bool, *, of_source: bool = False
    ) -> str | None:
        """Hash a file of ``size`` bytes from its start; None when it is shorter.

        ``sparse`` asks for its holes, which are hashed without being read.
        """
        hasher = _hasher(size)
        position = 0
        while position < size:
            start, end = self._extent(descriptor, position, size) if sparse else (0, size)
            self._hash_zeros(hasher, start - position)
            position = start
            while position < end:
                part = self._back[: min(CHUNK, end - position)]
                count = (
                    self._read(descriptor, part, position)
                    if of_source
                    else os.preadv(descriptor, [part], position)
                )
                if count == 0:
                    return None
                hasher.update(part[:count])
                position += count
                self._tick(0)
        return hasher.hexdigest()

    def _read(self, source: int, into: memoryview, position: int) -> int:
        try:
            return os.preadv(source, [into], position)
        except OSError as error:
            raise SourceError(error) from None

    def _write_all(self, destination: int, data: memoryview) -> None:
        done = self._write(destination, data)
        while done < len(data):
            done += self._write(destination, data[done:])

    def _compared(
        self, digest: str | None, destination: int, size: int, sparse: bool
    ) -> str | None:
        if digest is not None and self.digest(destination, size, sparse) != digest:
            raise Mismatch
        return digest

    def _copy_large(self, source: int, destination: int, size: int) -> str | None:
        sent, arrived = blake3(), blake3()
        position = 0
        while position < size:
            part = self._out[: min(CHUNK, size - position)]
            count = self._read(source, part, position)
            if count == 0:
                return None
            part = part[:count]
            self._write_all(destination, part)
            sent.update(part)
            back = self._back[:count]
            if os.preadv(destination, [back], position) != count:
                raise Mismatch
            arrived.update(back)
            position += count
            self._tick(count)
        digest = sent.hexdigest()
        if arrived.hexdigest() != digest:
            raise Mismatch
        return digest

    def _copy_sparse(self, source: int, destination: int, size: int) -> str | None:
        os.ftruncate(destination, size)
        hasher = _hasher(size)
        position = 0
        while position < size:
            start, end = self._extent(source, position, size)
            self._hash_zeros(hasher, start - position)
            position = start
            os.lseek(destination, position, os.SEEK_SET)
            while position < end:
                part = self._out[: min(CHUNK, end - position)]
                count = self._read(source, part, position)
                if count == 0:
                    return None
                part = part[:count]
                self._write_all(destination, part)
                hasher.update(part)
                position += count
                self._tick(count)
        return self._compared(hasher.hexdigest(), destination, size, True)

    def _extent(self, descriptor: int, position: int, size: int) -> tuple[int, int]:
        """Return start and end of the next data at or after ``position``."""
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return size, size
            return position, size
        return min(start, size), min(os.lseek(descriptor, start, os.SEEK_HOLE), size)

    def _hash_zeros(self, hasher: blake3, count: int) -> None:
        while count > 0:
            part = self._zeros[: min(count, THREADS_FROM)]
            hasher.update(part)
            count -= len(part)
            self._tick(0)

    def _cloned(self, source: int, destination: int) -> bool:
        try:
            fcntl.ioctl(destination, FICLONE, source)
        except OSError as error:
            if error.errno not in NO_CLONE:
                raise
            self._clone = False
            return False
        return True


EMPTY = blake3().hexdigest()


def settle(changed_ns: int) -> bool:
    """Wait if a file changed only just now (``st_ctime_ns``); return whether we waited.

    File systems keep times in ticks of some milliseconds. Of two changes in one tick the second
    does not show; so what is to be noticed must start in a later tick than the last change.
    """
    if 0 <= time.time_ns() - changed_ns < TICK_NS:
        time.sleep(TICK_NS / 1e9)
        return True
    return False


def same_blocks(one: int, other: int, size: int) -> bool:
    """Say whether two files of one file system certainly consist of the same blocks.

    Asks by ``FS_IOC_FIEMAP`` (kernel documentation, filesystems/fiemap). Blocks whose place is not
    settled, or which hold something else than the plain bytes, count as not the same.
    """
    blocks = _blocks(one, size)
    return blocks is not None and blocks == _blocks(other, size)


def _blocks(descriptor: int, size: int) -> list[tuple[int, int, int, int]] | None:
    """Return (offset, place, length, unwritten) of a file's extents, neighbours joined."""
    found: list[tuple[int, int, int, int]] = []
    start = 0
    while start < size:
        request = bytearray(FIEMAP_HEADER.size + FIEMAP_EXTENTS * FIEMAP_EXTENT.size)
        FIEMAP_HEADER.pack_into(request, 0, start, size - start, 0, 0, FIEMAP_EXTENTS, 0)
        try:
            fcntl.ioctl(descriptor, FIEMAP, request)
        except OSError:
            return None
        count = FIEMAP_HEADER.unpack_from(request)[3]
        for number in range(count):
            offset, place, length, flags = FIEMAP_EXTENT.unpack_from(
                request, FIEMAP_HEADER.size + number * FIEMAP_EXTENT.size
            )
            if flags & FIEMAP_UNSETTLED:
                return None
            unwritten = flags & FIEMAP_UNWRITTEN
            start = offset + length
            length = min(length, size - offset)
            if found and found[-1][3] == unwritten:
                before, there, extent, _ = found[-1]
                if before + extent == offset and there + extent == place:
                    found[-1] = (before, there, extent + length, unwritten)
                    continue
            found.append((offset, place, length, unwritten))
        if count < FIEMAP_EXTENTS:
            break
    return found


def _hasher(size: int) -> blake3:
    return blake3(max_threads=blake3.AUTO if size >= THREADS_FROM else 1)
