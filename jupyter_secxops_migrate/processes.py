"""What the kernel says about another process of this machine: whether it runs, and what it has open.

Read from ``/proc``, of processes of one's own account. Where there is none of that, nothing is known,
and whoever asks has to wait as long as he would have.
"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

_PROC = Path("/proc")


class Standing(Enum):
    """How a process is."""

    RUNS = "runs"
    STOPPED = "stopped"
    """It was sent a stop signal, or a debugger holds it: it answers nobody until it goes on."""
    ENDED = "ended"
    UNKNOWN = "unknown"


def standing(pid: int) -> Standing:
    """Return how a process is; one of another process namespace counts as ended."""
    try:
        said = (_PROC / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return Standing.ENDED if (_PROC / "self" / "stat").exists() else Standing.UNKNOWN
    except OSError:
        return Standing.UNKNOWN
    # "123 (name) S …", where the name may have any character (proc_pid_stat(5)).
    state = said.rpartition(b")")[2].split()[:1]
    if state in ([b"T"], [b"t"]):
        return Standing.STOPPED
    return Standing.ENDED if state in ([b"Z"], [b"X"], [b"x"]) else Standing.RUNS


def has_open(pid: int, path: Path) -> bool | None:
    """Whether a process has a file open; None where that can't be seen."""
    try:
        wanted = path.stat()
        descriptors = list((_PROC / str(pid) / "fd").iterdir())
    except OSError:
        return None
    for descriptor in descriptors:
        try:
            found = descriptor.stat()
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False


def holder(lock: Path) -> tuple[int | None, Standing]:
    """Return the process that says in a lock's file that it holds it, and how it is.

    The file may be left over, and its number be another process's by now, so that one counts as ended
    which does not have the file open.
    """
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None, Standing.UNKNOWN
    try:
        said = os.pread(descriptor, 20, 0).partition(b"\n")[0]
    except OSError:
        said = b""
    finally:
        os.close(descriptor)
    # `isdigit` is of ASCII for bytes.
    pid = int(said) if said.isdigit() else 0
    if not pid:
        return None, Standing.UNKNOWN
    found = standing(pid)
    if found in (Standing.RUNS, Standing.STOPPED):
        return pid, {True: found, False: Standing.ENDED, None: Standing.UNKNOWN}[
            has_open(pid, lock)
        ]
    return pid, found
