"""The files of a git commit, as a checkout would have them, from the project's own repository.

Submodules and content of Git LFS are read where the repository has them, as the copy does (see
`copying.checkout`). Nothing is fetched, written or run.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pygit2
from pygit2.enums import FileMode, ObjectType

from ..copying.checkout import (
    MOST_POINTER,
    Pointer,
    lfs_content,
    parse_pointer,
    submodules,
)
from ..copying.git import GIT_FOLDER, enters, files_in, is_git_directory
from ..copying.walk import open_root
from .errors import NoSuchVersion, VersionIncomplete
from .filters import Filters
from .items import MAX_IGNORE, Content, Item, not_plain, too_large
from .tree import OpenFile
from .version import open_own

MAX_DEPTH = 500
T = TypeVar("T", pygit2.Blob, pygit2.Tree)


class CommitFiles:
    """The files of one commit.

    Parameters
    ----------
    root
        The project's folder; its ``.git`` lies in it.
    commit
        The commit's full id.

    Raises
    ------
    NoSuchVersion
        There is no such commit.
    VersionIncomplete
        Something of the commit is not here or can't be read; all that reads objects raises it.
    """

    def __init__(self, root: Path, commit: str) -> None:
        repository = open_own(root)
        try:
            if repository is None:
                raise KeyError(commit)
            found = repository[commit].peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError):
            raise NoSuchVersion(version=commit) from None
        self._repository, self._commit = repository, commit
        self._tree = self._get(repository, found.tree_id, pygit2.Tree)
        self._root = open_root(root)
        weakref.finalize(self, os.close, self._root)
        self._submodules = submodules(self._root, repository, self._tree)
        self._filters: dict[bytes, tuple[int, Filters]] = {}

    @property
    def stores(self) -> list[str]:
        """The git directories of the commit's submodules that are here, from the project's folder."""
        return [os.fsdecode(one.store) for one in self._submodules.values()]

    def small_file(self, name: str, limit: int = MAX_IGNORE) -> bytes | None:
        """Return a file, None without it.

        Raises
        ------
        BadDockerfile
            It is no plain file, or has more bytes than ``limit``.
        """
        try:
            found = self._tree[name]
        except KeyError:
            return None
        if found.filemode not in (FileMode.BLOB, FileMode.BLOB_EXECUTABLE):
            raise not_plain(name)
        kind, size = self._header(self._repository, found.id)
        if kind != ObjectType.BLOB:
            raise not_plain(name)
        if size > limit:
            raise too_large(name, limit)
        return bytes(self._get(self._repository, found.id, pygit2.Blob).data)

    def items(self, enter: Callable[[str], bool]) -> Iterator[Item]:
        """Yield everything, folders before what they hold; ``enter`` as in `tree.walk`."""
        stack = [("", *_listed(self._tree, None), GIT_FOLDER, self._repository)]
        while stack:
            prefix, entries, where, store, repository = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            name = os.fsdecode(entry.raw_name or b"")
            # Git refuses to make such trees; a hostile repository may hold them.
            if name in ("", ".", "..") or "/" in name:
                continue
            path = prefix + name
            mode = entry.filemode
            if mode == FileMode.TREE:
                yield Item(path, "folder", False, 0, "", lambda: None, where=where)
                if enter(path) and len(stack) < MAX_DEPTH:
                    below = self._get(repository, entry.id, pygit2.Tree)
                    listed = _listed(below, enters(where, os.fsencode(name)))
                    stack.append((path + "/", *listed, store, repository))
            elif mode == FileMode.COMMIT:
                one = self._submodules.get(os.fsencode(path))
                lacks = "" if one else "submodule"
                yield Item(path, "folder", False, 0, "", lambda: None, lacks, where)
                if one is not None and enter(path) and len(stack) < MAX_DEPTH:
                    listed = _listed(one.tree, enters(where, os.fsencode(name)))
                    stack.append((path + "/", *listed, one.store, one.repository))
            elif mode == FileMode.LINK:
                target = os.fsdecode(self._get(repository, entry.id, pygit2.Blob).data)
                yield Item(path, "link", False, 0, target, lambda: None, where=where)
            elif mode in (FileMode.BLOB, FileMode.BLOB_EXECUTABLE):
                executable = mode == FileMode.BLOB_EXECUTABLE
                item = self._file(path, executable, entry.id, store, repository)
                yield replace(item, where=where, filtered=self._is_filtered(path, store))

    def files_below(self, item: Item) -> int:
        """Return how many files something that is left out stands for, one at least."""
        path = os.fsencode(item.path)
        above = [
            one for one in self._submodules if f"{item.path}/".startswith(os.fsdecode(one) + "/")
        ]
        inside = max(above, key=len, default=b"")
        found: pygit2.Object = self._submodules[inside].tree if inside else self._tree
        try:
            for name in filter(None, path[len(inside) :].split(b"/")):
                found = found[os.fsdecode(name)]  # type: ignore[index]  # what is no tree raises TypeError
            return files_in(found)
        except (KeyError, TypeError, pygit2.GitError):
            raise VersionIncomplete(version=self._commit) from None

    def _file(
        self,
        path: str,
        executable: bool,
        oid: pygit2.Oid,
        store: bytes,
        repository: pygit2.Repository,
    ) -> Item:
        def blob() -> Content:
            return Blob(self._get(repository, oid, pygit2.Blob).data)

        size = self._header(repository, oid)[1]
        pointer = None
        if size <= MOST_POINTER:
            pointer = parse_pointer(self._get(repository, oid, pygit2.Blob).data)
        if pointer is None:
            return Item(path, "file", executable, size, "", blob)
        if not self._has(store, pointer):
            return Item(path, "file", executable, size, "", blob, "lfs")

        def content() -> Content:
            found = lfs_content(self._root, store, pointer)
            return blob() if found is None else OpenFile(found, pointer.size)

        return Item(path, "file", executable, pointer.size, "", content)

    def _is_filtered(self, path: str, store: bytes) -> bool:
        if store not in self._filters:
            base, one = next(
                (found for found in self._submodules.items() if found[1].store == store),
                (b"", None),
            )
            of = (
                (self._repository, self._commit, self._tree)
                if one is None
                else (one.repository, one.commit, one.tree)
            )
            try:
                self._filters[store] = len(base and base + b"/"), Filters(*of)
            except (KeyError, pygit2.GitError):
                raise VersionIncomplete(version=self._commit) from None
        start, filters = self._filters[store]
        return filters.change(os.fsdecode(os.fsencode(path)[start:]))

    def _get(self, repository: pygit2.Repository, oid: pygit2.Oid, kind: type[T]) -> T:
        try:
            return repository[oid].peel(kind)
        except (KeyError, ValueError, pygit2.GitError):
            raise VersionIncomplete(version=self._commit) from None

    def _header(self, repository: pygit2.Repository, oid: pygit2.Oid) -> tuple[int, int]:
        if not hasattr(repository.odb, "read_header"):
            # pygit2 for Python 3.10 is older: it must read the object to know its size.
            found = self._get(repository, oid, pygit2.Blob)
            return found.type, len(found.read_raw())
        try:
            kind, size = repository.odb.read_header(oid)
        except (KeyError, pygit2.GitError):
            raise VersionIncomplete(version=self._commit) from None
        return kind, size

    def _has(self, store: bytes, pointer: Pointer) -> bool:
        found = lfs_content(self._root, store, pointer, checked=False)
        if found is None:
            return False
        os.close(found)
        return True


def _listed(tree: pygit2.Tree, where: bytes | None) -> tuple[Iterator[pygit2.Object], bytes | None]:
    """List a folder, and say where in a git directory it is."""
    entries = sorted(tree, key=lambda entry: entry.raw_name or b"")
    names = [(e.raw_name or b"") + b"/" * (e.filemode == FileMode.TREE) for e in entries]
    return iter(entries), b"" if is_git_directory(names) else where


class Blob:
    """A git blob, which libgit2 holds in memory as a whole."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.size = len(data)
        self._at = 0

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        piece = bytes(self._data[self._at : self._at + size])
        self._at += len(piece)
        return piece

    def close(self) -> None:
        """Release the blob."""
        self._data.release()
