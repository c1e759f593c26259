"""The walk through a git commit: its files instead of the work tree's, and ``.git`` as of a checkout of it.

Nothing of the project is executed: git's objects are read, filters and hooks are not run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from . import git
from .account import Account
from .batches import Batches
from .checkout import Submodule, submodules
from .entries import CHOSEN, SCRUB, Options
from .folders import Folders
from .source import SourceWalk
from .why import FILE_SYSTEMS, ON_REQUEST

__all__ = ["CommitWalk", "Opened", "open_commit"]

FOLDER_MODE = 0o040000


class Opened(NamedTuple):
    """A commit: its tree and time (seconds), what is put into its git directories, its submodules by path."""

    tree: Any
    time: int
    generated: Mapping[bytes, Mapping[bytes, bytes]]
    submodules: Mapping[bytes, Submodule]


def open_commit(root: int, commit: str, subfolder: bytes, scratch: str) -> Opened:
    """Open a commit of the repository at ``root``, a descriptor; ``scratch`` is a file to make and remove.

    Raises
    ------
    ValueError
        It is not there, or has no such folder.
    """
    repository = git.open_repository(root)
    tree, seconds = git.open_commit(repository, commit, subfolder)
    generated: dict[bytes, dict[bytes, bytes]] = {}
    inner: Mapping[bytes, Submodule] = {}
    if not subfolder:
        generated[git.GIT_FOLDER] = _head(commit, tree, scratch)
        inner = submodules(root, repository, tree)
        for one in inner.values():
            generated[one.store] = _head(one.commit, one.tree, scratch)
    return Opened(tree, seconds, generated, inner)


def _head(commit: str, tree: Any, scratch: str) -> dict[bytes, bytes]:
    """Return what makes a git directory the one of a checkout of ``commit``."""
    return {b"HEAD": commit.encode() + b"\n", b"index": git.index_of(tree, scratch)}


class CommitWalk:
    """Goes through a commit; ``walk`` goes through ``.git``."""

    def __init__(
        self,
        commit: Opened,
        walk: SourceWalk,
        options: Options,
        folders: Folders,
        batches: Batches,
        account: Account,
    ) -> None:
        self._commit, self._walk, self._options = commit, walk, options
        self._folders, self._batches, self._account = folders, batches, account

    def run(self) -> Iterator[None]:
        """Go through the tree of a commit, and through ``.git`` where its name has its place."""
        stack = [(b"", *self._enter_tree(b"", self._commit.tree), git.GIT_FOLDER)]
        met = 0
        while stack:
            folder, entries, where, store = stack[-1]
            entry = entries.pop() if entries else None
            if entry is None:
                stack.pop()
                continue
            met += 1
            if met % 64 == 0:
                yield
            if entry == git.GIT_FOLDER and folder in self._commit.submodules:
                self._account.total_files += 1
                link = self._commit.submodules[folder].link(folder)
                self._batches.put_blob(folder, git.GIT_FOLDER, link, 0o100644)
                continue
            if entry == git.GIT_FOLDER and not folder:
                below = self._walk.source.to(git.GIT_FOLDER)
                yield from self._walk.below(git.GIT_FOLDER, below, b"")
                continue
            name, mode = (
                (entry, FOLDER_MODE)
                if isinstance(entry, bytes)
                else (entry.raw_name, int(entry.filemode))
            )
            path = folder + b"/" + name if folder else name
            if path in self._walk.mount_points:
                self._walk.make_mount_point(path)
                continue
            if not git.is_safe_name(name):
                self._batches.skip(folder, path, "is not a name of a file")
                continue
            hook = where == b"hooks"
            reason, chosen = self._walk.judge(path, name, folder=mode == FOLDER_MODE, hook=hook)
            if reason is not None:
                counts = reason not in (ON_REQUEST, FILE_SYSTEMS)
                left = (
                    self._commit.submodules[path].tree if path in self._commit.submodules else entry
                )
                self._batches.skip(folder, path, reason, git.files_in(left) if counts else 1)
            elif mode == FOLDER_MODE:
                found = () if isinstance(entry, bytes) else entry
                inside = git.enters(where, name)
                stack.append((path, *self._enter_tree(path, found, inside), store))
            elif mode == 0o160000 and path in self._commit.submodules:
                one = self._commit.submodules[path]
                inside = git.enters(where, name)
                stack.append((path, *self._enter_tree(path, one.tree, inside), one.store))
            elif mode == 0o160000:
                self._enter_tree(path, ())
                self._batches.skip(path, path, "git submodule, which a commit only names")
            else:
                self._account.total_files += 1
                special = CHOSEN if chosen else 0
                if git.holds_credentials(where, name):
                    special |= SCRUB
                self._batches.put_blob(folder, name, (store, str(entry.id)), mode, special)

    def _enter_tree(
        self, path: bytes, tree: Any, where: bytes | None = None
    ) -> tuple[list[Any], bytes | None]:
        """Make a commit's folder and list it, last entry first; say where in a git directory it is."""
        assert self._options.commit is not None
        if path:
            self._folders.make(path)
        owner = self._options.commit.owner if self._options.privileged else self._options.maker
        time_ns = self._options.commit.time
        self._folders.note(path, owner, 0o755, (time_ns, time_ns), [])
        # git's order is ours, but what wrote a crafted tree need not have kept to it.
        keyed = [
            (
                self._walk.as_folder(
                    path, entry.raw_name + b"/" * (int(entry.filemode) in (FOLDER_MODE, 0o160000))
                ),
                entry,
            )
            for entry in tree
        ]
        if git.is_git_directory(name for name, _ in keyed):
            where = b""
        there = {name.rstrip(b"/") for name, _ in keyed}
        keyed += [(name + b"/", name) for name in self._towards_mount_points(path) - there]
        if path in self._commit.submodules:
            keyed.append((git.GIT_FOLDER, git.GIT_FOLDER))
        elif not path and self._walk.generated:
            keyed.append((git.GIT_FOLDER + b"/", git.GIT_FOLDER))
        keyed.sort(key=lambda pair: pair[0], reverse=True)
        return [entry for _, entry in keyed], where

    def _towards_mount_points(self, folder: bytes) -> set[bytes]:
        """Return the names in a folder that lead to mount points, which a commit need not have."""
        above = folder + b"/" if folder else b""
        return {
            path[len(above) :].partition(b"/")[0]
            for path in self._walk.mount_points
            if path.startswith(above)
        }
