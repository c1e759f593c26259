"""Going through a tree by directory descriptors only.

A path is never handed to the kernel whole: each component is opened from its parent's descriptor
with ``O_NOFOLLOW``, so a folder that becomes a symbolic link while we walk is refused, not
followed, and a tree deeper than ``PATH_MAX`` is an ordinary one. Paths are bytes relative to the
root; the root is ``b""``. This module decides nothing about what is copied.

Order. Names are sorted as bytes, a folder as if its name ended in ``/``. Depth first, this yields
all paths in the order of their bytes, without ever holding them all.
"""

from __future__ import annotations

import os

__all__ = ["DIRECTORY", "READ", "Descent", "join", "listing", "open_root"]

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""How a file that may be anything by now is opened."""
NEAR_ROOT = 64
NEAR_HERE = 64


def open_root(path: str | bytes | os.PathLike[str]) -> int:
    """Open the folder that a walk starts from; the caller names it, so links are followed here."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def join(folder: bytes, name: bytes) -> bytes:
    """Return the path of a name in a folder; the root is ``b""``."""
    return folder + b"/" + name if folder else name


class Descent:
    """Where we are in a tree: descriptors of the folders from the root to the current one.

    In a very deep tree only those near the root and near the current folder stay open; the others
    are opened again, component by component, when the way leads back.
    """

    def __init__(self, root: int) -> None:
        self.root = root
        self._path = b""
        self._names: list[bytes] = []
        self._open: list[int] = []

    def to(self, path: bytes) -> int:
        """Go to the folder ``path`` and return its descriptor, which stays ours.

        Raises
        ------
        OSError
            It is not there, not a folder any more (``ELOOP``, ``ENOTDIR``), or may not be opened.
        """
        if path == self._path:
            return self._open[-1] if self._open else self.root
        names = path.split(b"/") if path else []
        common = 0
        for ours, theirs in zip(self._names, names, strict=False):
            if ours != theirs:
                break
            common += 1
        self._drop(common)
        try:
            # The deepest folder on the common way may have been closed to save descriptors.
            while self._open and self._open[-1] == -1:
                self._drop(len(self._open) - 1)
            for name in names[len(self._open) :]:
                parent = self._open[-1] if self._open else self.root
                self._push(name, os.open(name, DIRECTORY, dir_fd=parent))
        finally:
            self._path = b"/".join(self._names)
        return self._open[-1] if self._open else self.root

    def enter(self, name: bytes) -> int:
        """Go one folder down from where we are; raises like `to`."""
        parent = self._open[-1] if self._open else self.root
        descriptor = os.open(name, DIRECTORY, dir_fd=parent)
        self._push(name, descriptor)
        self._path = self._path + b"/" + name if self._path else name
        return descriptor

    def close(self) -> None:
        """Close all descriptors but the root's."""
        self._drop(0)
        self._path = b""

    def _push(self, name: bytes, descriptor: int) -> None:
        self._names.append(name)
        self._open.append(descriptor)
        far = len(self._open) - 1 - NEAR_HERE
        if far >= NEAR_ROOT and self._open[far] != -1:
            os.close(self._open[far])
            self._open[far] = -1

    def _drop(self, keep: int) -> None:
        while len(self._open) > keep:
            descriptor = self._open.pop()
            self._names.pop()
            if descriptor != -1:
                os.close(descriptor)


def listing(descriptor: int) -> list[bytes]:
    """List a folder in our order; a folder's name has a ``/`` appended."""
    encode = os.fsencode
    with os.scandir(descriptor) as entries:
        names = [
            encode(entry.name) + b"/" if entry.is_dir(follow_symlinks=False) else encode(entry.name)
            for entry in entries
        ]
    names.sort()
    return names
