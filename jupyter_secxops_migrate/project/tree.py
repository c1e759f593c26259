"""Walking a hostile tree: by directory descriptors, never through a symbolic link.

Yields what is there, in one fixed order, so that two walks of equal trees are equal; `judge` says
what of it stays.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..copying import git
from ..copying.credentials import Found, Selection
from ..copying.errors import SourceReplaced
from ..copying.identity import insist_same
from ..copying.repository import is_passing
from ..copying.walk import Descent

MAX_PATHS = 50
"""How many paths are named as a sample of many."""
Kind = Literal["file", "folder", "link", "special"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in the tree: ``path`` is relative; ``parent`` is its folder's open descriptor.

    ``parent`` is only valid until the next entry is asked for. ``state`` is what ``lstat`` gave;
    ``mode`` and ``size`` (bytes, none of a folder) are from it. ``where`` is where in a git directory
    its folder is, None if in none.
    """

    path: str
    kind: Kind
    mode: int
    size: int
    parent: int
    state: os.stat_result
    where: bytes | None

    @property
    def name(self) -> bytes:
        """The last component of its path."""
        return os.fsencode(self.path.rpartition("/")[2])

    @property
    def hook(self) -> bool:
        """Whether it lies in the ``hooks`` of a git directory."""
        return self.where == b"hooks"

    @property
    def passing(self) -> bool:
        """Whether it is only there while a git command is at work."""
        return self.where is not None and is_passing(self.where, self.name)


def walk(
    root: Path,
    *,
    enter: Callable[[str], bool] | None = None,
    unreadable: Callable[[str], None] | None = None,
    identity: str = "",
    where: bytes | None = None,
) -> Iterator[Entry]:
    """Yield everything below ``root``, folders before what they hold, names in byte order.

    Parameters
    ----------
    enter
        Called with a folder's relative path; False leaves its content out.
    unreadable
        Called with the relative path of a folder that can't be listed; without it the error is raised.

    identity
        Which folder ``root`` has to be (`copying.identity`).
    where
        Where in a git directory ``root`` is.

    Raises
    ------
    OSError
        ``root`` can't be opened.
    SourceReplaced
        ``root`` is another folder.
    """
    # Opened here and not through links; however deep the tree is, few descriptors are open at once.
    top = open_folder(root, identity)
    descent = Descent(top)
    try:
        stack = [("", b"", *_listed(top, where))]
        while stack:
            prefix, folder, names, where = stack[-1]
            name = next(names, None)
            if name is None:
                stack.pop()
                continue
            path = prefix + name
            try:
                descriptor = descent.to(folder)
                info = os.lstat(name, dir_fd=descriptor)
            except OSError:
                continue  # it went away since its folder was listed
            if not stat.S_ISDIR(info.st_mode):
                kind = _kind(info.st_mode)
                yield Entry(path, kind, info.st_mode, info.st_size, descriptor, info, where)
                continue
            yield Entry(path, "folder", info.st_mode, 0, descriptor, info, where)
            if enter is not None and not enter(path):
                continue
            below = os.fsencode(path)
            try:
                inside = git.enters(where, os.fsencode(name))
                stack.append((path + "/", below, *_listed(descent.to(below), inside)))
            except OSError:
                if unreadable is None:
                    raise
                unreadable(path)
    finally:
        descent.close()
        os.close(top)


def open_folder(path: Path, identity: str = "") -> int:
    """Open a folder that is no link, and is the one of an identity; raises as `walk` does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        if not identity:
            raise
        raise SourceReplaced(path=readable(str(path))) from None
    try:
        insist_same(descriptor, identity, readable(str(path)))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _listed(descriptor: int, where: bytes | None) -> tuple[Iterator[str], bytes | None]:
    """List a folder, and say where in a git directory it is."""
    names = sorted(os.listdir(descriptor), key=os.fsencode)
    if "HEAD" in names and _is_git_directory(descriptor):
        where = b""
    return iter(names), where


def _is_git_directory(descriptor: int) -> bool:
    """Return whether a folder is a git directory, whatever it is called."""
    try:
        kinds = [
            stat.S_ISDIR(os.lstat(name, dir_fd=descriptor).st_mode)
            for name in ("HEAD", "objects", "refs")
        ]
    except OSError:
        return False
    return kinds == [False, True, True]


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    return "link" if stat.S_ISLNK(mode) else "special"


class OpenFile:
    """An open file descriptor, unbuffered; ``size`` is the file's when it was opened, in bytes."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size

    @property
    def path(self) -> Path:
        """What it is open at, for calls that take a path."""
        return Path(f"/proc/self/fd/{self._descriptor}")

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


def judge(selection: Selection, entry: Entry) -> Found | None:
    """Say why something that `walk` yielded stays, None if it travels; reads no more than it must."""
    path, name = os.fsencode(entry.path), entry.name
    found = selection.by_name(path, name, folder=entry.kind == "folder", hook=entry.hook)
    if found is not None or entry.kind != "file":
        return found
    most = selection.look(name, entry.size)
    start = _start(name, entry.parent, most) if most else b""
    return selection.by_content(path, name, entry.size, start) if start else None


def _start(name: bytes, folder: int, most: int) -> bytes:
    """Return the first bytes of a file; none if it can't be read."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError:
        return b""
    try:
        return os.read(descriptor, most)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def readable(path: str) -> str:
    """Return a file name as text that JSON can carry: bytes that are not UTF-8 become ``\\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
