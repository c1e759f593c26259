"""Walking a hostile tree: by directory descriptors, never through a symbolic link.

Yields what is there, in one fixed order, so that two walks of equal trees are equal. What is
never copied (`copying.never`) is left out here and named to the caller.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..copying.never import CONTENT, reason_by_content, reason_for_last

Kind = Literal["file", "folder", "link", "special"]

MAX_DEPTH = 250
"""Folders in each other; each costs a descriptor, and a hostile tree may have any number."""

MAX_LOOK = 64 * 1024
"""Bytes looked at where a file's content decides."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in the tree: ``path`` is relative; ``parent`` is its folder's open descriptor.

    ``parent`` is only valid until the next entry is asked for. ``mode`` and ``size`` (bytes) are
    those that ``lstat`` gave.
    """

    path: str
    kind: Kind
    mode: int
    size: int
    parent: int


def walk(
    root: Path,
    *,
    enter: Callable[[str], bool] | None = None,
    unreadable: Callable[[str], None] | None = None,
) -> Iterator[Entry]:
    """Yield everything below ``root``, folders before what they hold, names in byte order.

    Parameters
    ----------
    enter
        Called with a folder's relative path; False leaves its content out.
    unreadable
        Called with the relative path of a folder that can't be listed or lies too deep; without it the error
        is raised.

    Raises
    ------
    OSError
        ``root`` can't be opened.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    stack: list[tuple[str, int, Iterator[str]]] = []
    descriptor = os.open(root, flags)
    stack.append(("", descriptor, _names(descriptor)))
    try:
        while stack:
            prefix, descriptor, names = stack[-1]
            name = next(names, None)
            if name is None:
                os.close(descriptor)
                stack.pop()
                continue
            path = prefix + name
            try:
                info = os.lstat(name, dir_fd=descriptor)
            except OSError:
                continue  # it went away since its folder was listed
            if stat.S_ISDIR(info.st_mode):
                yield Entry(path, "folder", info.st_mode, 0, descriptor)
                if enter is not None and not enter(path):
                    continue
                try:
                    if len(stack) > MAX_DEPTH:
                        raise OSError(errno.ENAMETOOLONG, "too deep", path)
                    below = os.open(name, flags, dir_fd=descriptor)
                except OSError:
                    if unreadable is None:
                        raise
                    unreadable(path)
                    continue
                try:
                    listed = _names(below)
                except OSError:
                    os.close(below)
                    if unreadable is None:
                        raise
                    unreadable(path)
                    continue
                stack.append((path + "/", below, listed))
            else:
                yield Entry(path, _kind(info.st_mode), info.st_mode, info.st_size, descriptor)
    finally:
        for _, descriptor, _ in stack:
            with suppress(OSError):
                os.close(descriptor)


def _names(descriptor: int) -> Iterator[str]:
    return iter(sorted(os.listdir(descriptor), key=os.fsencode))


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    return "link" if stat.S_ISLNK(mode) else "special"


class OpenFile:
    """An open file descriptor, unbuffered; ``size`` is the file's when it was opened, in bytes."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        return os.read(self._descriptor, size)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


def read_regular(folder: Path, name: str, limit: int) -> bytes | None:
    """Return the content of a regular file in a folder, at most ``limit`` bytes and one more.

    None if there is none that can be read; a link, FIFO or device is none.
    """
    try:
        descriptor = os.open(
            folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
    except OSError:
        return None
    with closing(OpenFile(descriptor, limit + 1)) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        parts = []
        left = file.size
        while left and (piece := file.read(left)):
            parts.append(piece)
            left -= len(piece)
        return b"".join(parts)


def reason_to_stay(path: str) -> str | None:
    """Return why a relative path is never copied, None if it may be.

    For walks that do not enter a folder for which this gave a reason.
    """
    whole = os.fsencode(path)
    return reason_for_last(whole, whole.rpartition(b"/")[2])


def content_matters(path: str) -> bool:
    """Return whether it depends on a file's content whether it may be copied."""
    return os.fsencode(path.rpartition("/")[2]) in CONTENT


def reason_in_content(path: str, content: bytes) -> str | None:
    """Return why a file of this content is never copied; `MAX_LOOK` bytes of it are enough."""
    return reason_by_content(os.fsencode(path.rpartition("/")[2]), content)


def readable(path: str) -> str:
    """Return a file name as text that JSON can carry: bytes that are not UTF-8 become ``\\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
