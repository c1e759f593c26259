"""The folder that a copy is made in: marked while it is incomplete, emptied of what an interrupted copy left."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence

from ..printable import printable
from .errors import CopyFailed
from .walk import Descent, listing

__all__ = ["FILE_SYSTEMS_OWN", "FULL", "MARKER", "empty", "mark_incomplete", "remove"]

MARKER = b".secxops-incomplete"
FILE_SYSTEMS_OWN = b"lost+found"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors that say that no room, or no quota, is left."""


def mark_incomplete(destination: str | os.PathLike[str]) -> None:
    """Have the next copy take what lies in a folder for what an interrupted one left.

    Raises
    ------
    CopyFailed
        It can't be written to.
    """
    try:
        os.makedirs(os.path.join(os.fsencode(destination), MARKER), 0o700, exist_ok=True)
    except OSError as error:
        raise CopyFailed(
            path=printable(os.fsencode(destination)), reason=os.strerror(error.errno or 0)
        ) from error


def remove(root: int, *path: bytes) -> None:
    """Remove a folder with everything in it."""
    parent = b"/".join(path[:-1])
    descent = Descent(root)
    empty(descent.to(b"/".join(path)), spare=())
    os.rmdir(path[-1], dir_fd=descent.to(parent))
    descent.close()


def empty(root: int, spare: Sequence[bytes] = (MARKER, FILE_SYSTEMS_OWN)) -> None:
    """Remove everything below a folder but `MARKER`, which is emptied, and the file system's own."""
    descent = Descent(root)
    stack: list[tuple[bytes, list[bytes]]] = [(b"", listing(root))]
    while stack:
        folder, names = stack[-1]
        descriptor = descent.to(folder)
        if not names:
            stack.pop()
            if folder and folder not in spare:
                parent, _, name = folder.rpartition(b"/")
                os.rmdir(name, dir_fd=descent.to(parent))
            continue
        name = names.pop()
        if not folder and name == FILE_SYSTEMS_OWN + b"/" and FILE_SYSTEMS_OWN in spare:
            continue
        if name.endswith(b"/"):
            with contextlib.suppress(PermissionError):
                os.chmod(name[:-1], 0o700, dir_fd=descriptor)
            path = folder + b"/" + name[:-1] if folder else name[:-1]
            stack.append((path, listing(descent.to(path))))
        else:
            os.unlink(name, dir_fd=descriptor)
    descent.close()
