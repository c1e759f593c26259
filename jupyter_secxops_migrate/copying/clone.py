"""A destination that the storage made as a clone of the source: a head start, never a proof.

A clone has everything, also what is never copied, and it may be empty, short or of another moment. So
the copy begins as always, with an empty destination: all that the clone brought is set aside in the
folder that says *incomplete*. From there a file comes back only where the copy would write it, and
only if both ends, read and hashed, are equal; else it is copied. What nobody asked for goes with
that folder. Folders, links, and files of whose content the copy makes something else, are made anew.
"""

from __future__ import annotations

import contextlib
import os
import stat

from .walk import DIRECTORY, Descent, listing

__all__ = ["FOLDER", "Aside", "set_aside"]

FOLDER = b"clone"
CHANGE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def set_aside(root: int, marker: bytes, file_systems_own: bytes) -> int:
    """Move what lies in ``root`` into ``marker``/clone; return how many names that were.

    The file system's own folder stays; what a repair put into it is moved too.
    """
    top = marker + b"/" + FOLDER
    os.mkdir(top, 0o700, dir_fd=root)
    moved = 0
    for name in listing(root):
        if name == file_systems_own + b"/":
            os.mkdir(top + b"/" + file_systems_own, 0o700, dir_fd=root)
            inside = os.open(file_systems_own, DIRECTORY, dir_fd=root)
            try:
                paths = [name + found.rstrip(b"/") for found in listing(inside)]
            finally:
                os.close(inside)
        else:
            paths = [path for path in (name.rstrip(b"/"),) if path != marker]
        for path in paths:
            os.rename(path, top + b"/" + path, src_dir_fd=root, dst_dir_fd=root)
        moved += len(paths)
    return moved


class Aside:
    """What was set aside, as one process of the copy sees it."""

    def __init__(self, root: int, marker: bytes) -> None:
        self._descent = Descent(root)
        self._top = marker + b"/" + FOLDER

    def take(self, folder: bytes, name: bytes, destination: int, size: int) -> int | None:
        """Move a file into the folder ``destination`` and return it, open.

        None, and it is gone from both, unless it is a regular file of ``size`` bytes with one name.
        """
        try:
            where = self._folder(folder)
            found = os.open(name, CHANGE, dir_fd=where)
        except OSError:
            return None
        try:
            state = os.fstat(found)
            if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1 or state.st_size != size:
                self.drop(folder, name)
                os.close(found)
                return None
            os.rename(name, name, src_dir_fd=where, dst_dir_fd=destination)
        except BaseException:
            os.close(found)
            raise
        return found

    def drop(self, folder: bytes, name: bytes) -> None:
        """Remove a file: what takes its place may need its room."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self._folder(folder))

    def _folder(self, path: bytes) -> int:
        return self._descent.to(self._top + b"/" + path if path else self._top)
