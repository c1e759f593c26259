"""Whether a file that was read held still.

A file's times tell of a write by ``write(2)``. A program that has the file mapped into its memory writes
without the kernel's knowledge: only the first write to a page that is on disk moves the times. So what
waits of such a file is sent to disk before it is copied, and the next write shows. Where the times do not
follow even then (memory, network and stacked file systems), the file is read a second time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Callable

__all__ = ["ATTEMPTS", "Stillness", "unchanged"]

ATTEMPTS = 6
"""How often what does not hold still is copied before it is named instead."""

RECENT_NS = 600 * 10**9
"""A file that is written through a mapping was, by its times, changed since the kernel last wrote it
out, which it does twice a minute."""

TIMES_FOLLOW = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"})
NEVER_WRITTEN_OUT = frozenset({"tmpfs", "ramfs"})
WAIT_BEFORE, WRITE = 1, 2  # of sync_file_range(2)


class Stillness:
    """Makes writes to files show in their times, and says where they can't."""

    def __init__(self) -> None:
        self._types: dict[int, str] = {}
        self._write_out: Callable[[int], int] | None = None

    def prepare(self, descriptor: int, state: os.stat_result) -> bool:
        """Have later writes to a file show; return whether it must be read twice all the same."""
        kind = self._type(state.st_dev)
        if kind in NEVER_WRITTEN_OUT:
            return True
        if abs(time.time_ns() - state.st_mtime_ns) > RECENT_NS:
            return False
        return kind not in TIMES_FOLLOW or self._sync(descriptor) != 0

    def _sync(self, descriptor: int) -> int:
        if self._write_out is None:
            call = ctypes.CDLL(None, use_errno=True).sync_file_range
            call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
            self._write_out = lambda file: int(call(file, 0, 0, WAIT_BEFORE | WRITE))
        return self._write_out(descriptor)

    def _type(self, device: int) -> str:
        """Return the type of the file system on a device, empty if it is not known."""
        if device not in self._types:
            self._types[device] = ""
            with contextlib.suppress(OSError), open("/proc/self/mountinfo", "rb") as mounts:
                wanted = b"%d:%d" % (os.major(device), os.minor(device))
                for line in mounts:
                    fields, _, rest = line.partition(b" - ")
                    if fields.split()[2] == wanted:
                        self._types[device] = rest.split()[0].decode("ascii", "replace")
                        break
        return self._types[device]


def unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    """Say whether a file's size and times are as they were."""
    return (
        before.st_mtime_ns == after.st_mtime_ns
        and before.st_size == after.st_size
        and before.st_ctime_ns == after.st_ctime_ns
    )
