"""A consistent copy of an SQLite database that somebody may be writing to.

Its file alone is half of it: what was committed last may still be in the ``-wal`` beside it, what
was begun may have to be rolled back from its ``-journal``. SQLite's backup API reads under the
database's own locks. Where that would have to write to the source (a log that nobody has open, or one
on a read-only mount: readers, too, leave marks in a ``-shm``), database and log are taken together,
unchanged from first to last byte, and recovered aside.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
import time

from .content import settle

__all__ = ["MAGIC", "Busy", "back_up", "siblings"]

MAGIC = b"SQLite format 3\0"
SUFFIXES = (b"-wal", b"-journal", b"-shm")
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
ATTEMPTS = 10
SQLITE_BUSY, SQLITE_LOCKED = 5, 6
LONGEST_PAUSE = 0.2
IN_USE_BYTE = 128  # of a -shm: locked by all who have the database open (sqlite: os_unix.c)


class Busy(Exception):
    """The database did not hold still."""


def siblings(name: bytes) -> bytes | None:
    """Return the database that a log file belongs to by its name; None for any other name."""
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return None


def back_up(descriptor: int, folder: int, name: bytes, root: int, staging: bytes) -> int:
    """Make a consistent copy below ``staging`` and return its open descriptor, already unlinked.

    ``descriptor`` is the database, open for reading; ``folder`` the descriptor of where it lies
    under ``name``; ``staging`` a folder's name in ``root``.

    Raises
    ------
    Busy
        It kept changing.
    OSError
        There is no room for it.
    """
    import sqlite3

    aside = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
    mine = b"%d" % os.getpid()
    try:
        # The name may lead elsewhere by now: what is copied must be what we hold open.
        same = os.stat(name, dir_fd=folder, follow_symlinks=False)
        held = os.fstat(descriptor)
        if (same.st_dev, same.st_ino) != (held.st_dev, held.st_ino):
            raise Busy
        try:
            if not _readable_in_place(folder, name):
                raise sqlite3.OperationalError("would have to write")
            _through_api(_path(folder, name), _path(aside, mine))
        except sqlite3.Error:
            for suffix in (b"", *SUFFIXES):
                _unlink(mine + suffix, aside)
            _taken_together(descriptor, folder, name, aside, mine)
            try:
                _through_api(_path(aside, mine), _path(aside, mine + b".recovered"), recover=True)
            except sqlite3.Error:
                # Not a database after all, or a broken one: then its bytes are what there is.
                _unlink(mine + b".recovered", aside)
            else:
                os.rename(mine + b".recovered", mine, src_dir_fd=aside, dst_dir_fd=aside)
        return os.open(mine, READ, dir_fd=aside)
    finally:
        for suffix in (b"", *SUFFIXES):
            for middle in (b"", b".recovered"):
                _unlink(mine + middle + suffix, aside)
        os.close(aside)


def _path(folder: int, name: bytes) -> str:
    return f"/proc/self/fd/{folder}/" + os.fsdecode(name)


def _unlink(name: bytes, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _readable_in_place(folder: int, name: bytes) -> bool:
    """Say whether SQLite can read a database without making, or resetting, a file beside it."""
    try:
        if not os.stat(name + b"-wal", dir_fd=folder, follow_symlinks=False).st_size:
            return True
    except FileNotFoundError:
        return True
    if os.fstatvfs(folder).f_flag & os.ST_RDONLY:
        return False
    try:
        shared = os.open(name + b"-shm", READ, dir_fd=folder)
    except OSError:
        return False
    try:
        # struct flock of 64-bit Linux: type, whence, start, length, process.
        question = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, IN_USE_BYTE, 1, 0)
        answer = fcntl.fcntl(shared, fcntl.F_GETLK, question)
        return bool(struct.unpack("hhqqi", answer)[0] != fcntl.F_UNLCK)
    finally:
        os.close(shared)


def _through_api(source: str, destination: str, *, recover: bool = False) -> None:
    import sqlite3
    from urllib.parse import quote

    waited = 0

    def patience(status: int, _remaining: int, _total: int) -> None:
        # Left to itself, this waits as long as somebody else's transaction lasts.
        nonlocal waited
        waited = waited + 1 if status in (SQLITE_BUSY, SQLITE_LOCKED) else 0
        if waited > 20:
            raise sqlite3.OperationalError("somebody is writing to it")

    uri = f"file:{quote(os.fsencode(source))}?mode={'rw' if recover else 'ro'}"
    database = sqlite3.connect(uri, uri=True, timeout=1)
    try:
        copy = sqlite3.connect(destination)
        try:
            database.backup(copy, progress=patience, sleep=0.05)
        finally:
            copy.close()
    finally:
        database.close()


def _taken_together(descriptor: int, folder: int, name: bytes, aside: int, mine: bytes) -> None:
    """Copy database and logs as they are, all unchanged between the first and the last byte."""
    pause = 0.02
    for _ in range(ATTEMPTS):
        before = _states(folder, name)
        newest = max(state[3] for state in before.values() if state is not None)
        if settle(newest):
            before = _states(folder, name)
        _pour(descriptor, aside, mine)
        for suffix in (b"-wal", b"-journal"):
            _unlink(mine + suffix, aside)
            if before[suffix] is None:
                continue
            try:
                log = os.open(name + suffix, READ, dir_fd=folder)
            except FileNotFoundError:
                break
            try:
                _pour(log, aside, mine + suffix)
            finally:
                os.close(log)
        if _states(folder, name) == before:
            return
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    raise Busy


def _states(folder: int, name: bytes) -> dict[bytes, tuple[int, ...] | None]:
    found: dict[bytes, tuple[int, ...] | None] = {}
    for suffix in (b"", b"-wal", b"-journal"):
        try:
            state = os.stat(name + suffix, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            found[suffix] = None
        else:
            regular = stat.S_ISREG(state.st_mode)
            found[suffix] = (
                (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
                if regular
                else None
            )
    return found


def _pour(source: int, folder: int, name: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    made = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        position = 0
        while data := os.pread(source, 1 << 20, position):
            view = memoryview(data)
            while view:
                view = view[os.write(made, view) :]
            position += len(data)
    finally:
        os.close(made)
