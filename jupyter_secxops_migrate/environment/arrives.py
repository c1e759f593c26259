"""What of a folder does not arrive, or arrives changed, told before by the rules of the copy.

The copy itself decides anew, file by file, what it meets; here is said what it will decide, so that a
plan and the copy's report count the same. What only the copy can know is not here: what vanishes or
is replaced meanwhile, and attributes that the destination does not keep.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress

from ..copying import git, sqlite
from ..copying.credentials import Found, Selection
from ..copying.destination import FILE_SYSTEMS_OWN
from ..copying.entries import link_key
from ..copying.metadata import privilege, runs_as_another
from ..copying.why import FILE_SYSTEMS, IN_BACKUP, KINDS, SCRUBBED, SETUID
from ..project.tree import Entry, judge

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TRANSIENT_FOLDERS = re.compile(r".*\.git|\.ipynb_checkpoints|__pycache__", re.DOTALL)
_TRANSIENT_FILES = re.compile(r"\.(?:~|nfs).*|.*-(?:wal|shm|journal)", re.DOTALL)
_RUNS = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
_MOST = 1 << 20
"""Bytes of a file of git that are searched for credentials: the largest are its logs."""


def is_transient(path: str) -> bool:
    """Say whether programs make and remove such a file by themselves, as Git, Jupyter and SQLite do.

    How many there are changes with each commit, so that fewer than before are no loss.

    Examples
    --------
    >>> is_transient(".git/objects/0a/1b"), is_transient("a/.ipynb_checkpoints/b.ipynb")
    (True, True)
    >>> is_transient("data/runs.git.csv"), is_transient("runs.db-wal")
    (False, True)
    """
    *folders, name = path.split("/")
    return (
        name == ".git"
        or _TRANSIENT_FILES.fullmatch(name) is not None
        or any(map(_TRANSIENT_FOLDERS.fullmatch, folders))
    )


def why_left_out(selection: Selection, entry: Entry) -> Found | None:
    """Return why an entry of a folder will not be copied, or is only by choice; None if it will be."""
    if os.fsencode(entry.path) == FILE_SYSTEMS_OWN:
        return _for_good(FILE_SYSTEMS)
    found = judge(selection, entry)
    if found is not None or entry.kind in ("folder", "link"):
        return found
    if entry.kind == "special":
        return _for_good(KINDS.get(stat.S_IFMT(entry.mode), "special file"))
    return _for_good(IN_BACKUP) if _is_in_a_backup(entry) else None


def _for_good(reason: str) -> Found:
    return Found(reason, kept=False, choice=False)


def changes(entry: Entry) -> Iterator[str]:
    """Yield how a file will arrive otherwise than it is."""
    if runs_as_another(entry.mode):
        yield SETUID
    if entry.mode & _RUNS:
        yield from filter(None, map(privilege, _attributes(entry)))
    if _is_searched(entry):
        data = _start(entry.parent, entry.name, _MOST)
        if data is not None and git.scrubbed(entry.name, data) != data:
            yield SCRUBBED


def _attributes(entry: Entry) -> list[str]:
    """Return the names of a file's extended attributes; it is not opened."""
    with suppress(OSError):
        path = b"/proc/self/fd/%d/%s" % (entry.parent, entry.name)
        return os.listxattr(path, follow_symlinks=False)
    return []


def linked_as(selection: Selection, entry: Entry) -> int | None:
    """Return what stands for a file under all of its names that are one file in the copy, too.

    None for one that is a file of its own there: it has one name only, or is judged by it.
    """
    if entry.state.st_nlink == 1 or _is_searched(entry):
        return None
    alone = selection.by_itself(os.fsencode(entry.path), entry.name)
    return None if alone else link_key(entry.state, entry.name)


def _is_searched(entry: Entry) -> bool:
    """Whether it is a file of git from which credentials are removed."""
    return git.holds_credentials(entry.where, entry.name)


def _is_in_a_backup(entry: Entry) -> bool:
    """Whether it is the log of an SQLite database, of which the copy makes a backup."""
    database = sqlite.siblings(entry.name)
    return bool(database) and _start(entry.parent, database or b"", 16) == sqlite.MAGIC


def _start(folder: int, name: bytes, most: int) -> bytes | None:
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
    except OSError:
        return None
    try:
        return os.pread(descriptor, most, 0)
    except OSError:
        return None
    finally:
        os.close(descriptor)
