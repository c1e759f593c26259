"""What a checkout of a commit holds besides git's own files: submodules, and the content of Git LFS.

Both only where the repository itself has them, below ``.git/modules`` and ``.git/lfs``: nothing is fetched
and nothing of the project is run. What is not there is the caller's to name.
"""

from __future__ import annotations

import os
import re
import stat
import weakref
from typing import Any, NamedTuple

from .git import GIT_FOLDER
from .repository import SUBMODULE, object_store
from .walk import READ, Descent

__all__ = [
    "NO_LFS",
    "Pointer",
    "Submodule",
    "lfs_content",
    "open_store",
    "parse_pointer",
    "submodules",
]

NO_LFS = "its content is in Git LFS and not here; its pointer is copied"
MOST_POINTER = 1024
MOST_SUBMODULES = 1000
MOST_SETTINGS = 1 << 20

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[0-9]-[^\n]*\n)*"
    rb"oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,18})\n?"
)
_SECTION = re.compile(rb'\s*\[\s*submodule\s+"((?:[^"\\]|\\.)*)"\s*\]\s*', re.IGNORECASE)
_PATH = re.compile(rb'\s*path\s*=\s*"?(.*?)"?\s*', re.IGNORECASE)


class Pointer(NamedTuple):
    """What a blob says of the content that it stands for; ``size`` is in bytes."""

    oid: str
    size: int


class Submodule(NamedTuple):
    """A submodule whose commit is here; ``store`` is its git directory, from the work tree's root."""

    store: bytes
    repository: Any
    commit: str
    tree: Any

    def link(self, path: bytes) -> bytes:
        """Return what the ``.git`` file of its work tree ``path`` holds."""
        return b"gitdir: " + b"../" * (path.count(b"/") + 1) + self.store + b"\n"


def parse_pointer(data: bytes) -> Pointer | None:
    """Read a Git LFS pointer; None if the blob is none."""
    found = _POINTER.fullmatch(data) if len(data) <= MOST_POINTER else None
    return None if found is None else Pointer(found[1].decode(), int(found[2]))


def lfs_content(root: int, store: bytes, pointer: Pointer, *, checked: bool = True) -> int | None:
    """Open the content that a pointer stands for; None where the repository does not have it.

    Parameters
    ----------
    root
        Descriptor of the work tree.
    store
        Path of the git directory in it.
    pointer
        Whose content is wanted.
    checked
        Read all of it, and return None if that is not what the pointer says.
    """
    oid = os.fsencode(pointer.oid)
    descent = Descent(root)
    try:
        folder = descent.to(b"/".join((store, b"lfs/objects", oid[:2], oid[2:4])))
        descriptor = os.open(oid, READ, dir_fd=folder)
    except OSError:
        return None
    finally:
        descent.close()
    state = os.fstat(descriptor)
    good = stat.S_ISREG(state.st_mode) and state.st_size == pointer.size
    if good and checked:
        import hashlib  # takes longer to load than all of this

        hasher = hashlib.sha256()
        while part := os.read(descriptor, 1 << 20):
            hasher.update(part)
        os.lseek(descriptor, 0, os.SEEK_SET)
        good = hasher.hexdigest() == pointer.oid
    if good:
        return descriptor
    os.close(descriptor)
    return None


def open_store(root: int, store: bytes) -> Any:
    """Open the objects of a git directory inside the work tree as a repository; None if it can't be.

    Its configuration and its refs are not read, and no link or alternate is followed.
    """
    import pygit2

    descent = Descent(root)
    try:
        found = object_store(descent, store)
        if found is None:
            return None
        repository = pygit2.Repository()
        repository.set_odb(found)
    except (OSError, pygit2.GitError):
        descent.close()
        return None
    weakref.finalize(repository, descent.close)
    return repository


def submodules(root: int, repository: Any, tree: Any) -> dict[bytes, Submodule]:
    """Return the submodules of a commit, and theirs, that are here; by path in the work tree."""
    found: dict[bytes, Submodule] = {}
    waiting = [(b"", GIT_FOLDER, repository, tree)]
    while waiting and len(found) < MOST_SUBMODULES:
        prefix, store, above, of = waiting.pop()
        for path, name in _names(above, of).items():
            one = _open(root, store + b"/modules/" + name, _linked(of, path))
            if one is not None:
                found[prefix + path] = one
                waiting.append((prefix + path + b"/", one.store, one.repository, one.tree))
    return found


def _open(root: int, store: bytes, commit: str | None) -> Submodule | None:
    import pygit2

    repository = None if commit is None else open_store(root, store)
    if repository is None or commit is None:
        return None
    try:
        tree = repository[commit].peel(pygit2.Commit).tree
    except (KeyError, ValueError, pygit2.GitError):
        return None
    return Submodule(store, repository, commit, tree)


def _linked(tree: Any, path: bytes) -> str | None:
    """Return the commit that a tree names at a path."""
    try:
        entry = tree[os.fsdecode(path)]
    except (KeyError, ValueError):
        return None
    return str(entry.id) if int(entry.filemode) == SUBMODULE else None


def _names(repository: Any, tree: Any) -> dict[bytes, bytes]:
    """Read ``.gitmodules``: path to name. A name is part of a path, so no other may lead out."""
    import pygit2

    try:
        blob = repository[tree[".gitmodules"].id]
    except (KeyError, ValueError, pygit2.GitError):
        return {}
    found: dict[bytes, bytes] = {}
    name = b""
    if not isinstance(blob, pygit2.Blob) or blob.size > MOST_SETTINGS:
        return {}
    for line in bytes(blob.data).splitlines():
        if section := _SECTION.fullmatch(line):
            name = re.sub(rb"\\(.)", rb"\1", section[1])
        elif (path := _PATH.fullmatch(line)) and _is_inside(name) and _is_inside(path[1]):
            found[path[1]] = name
    return found


def _is_inside(path: bytes) -> bool:
    return not {b"", b".", b".."} & set(path.split(b"/")) and b"\0" not in path
