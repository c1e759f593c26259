"""The walk through a folder that is copied: what is met is judged, made as a folder, or put into a batch.

What came to the walked folders meanwhile is fetched in the same way, when `again` asks for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence

from . import git, sqlite
from .account import Account
from .again import Folder, seen
from .batches import Batches
from .destination import FILE_SYSTEMS_OWN
from .entries import (
    CHOSEN,
    FILE,
    GIT,
    LINE,
    LINK,
    PRIMARY,
    SCRUB,
    SQLITE,
    SYMLINK,
    Options,
    link_key,
)
from .folders import Folders
from .manifest import changed_line
from .metadata import read_attributes
from .repository import is_passing
from .tally import files_below
from .walk import Descent, listing
from .why import FILE_SYSTEMS, IN_BACKUP, KINDS, ON_REQUEST, REPLACED, VANISHED

__all__ = ["SourceWalk"]


class SourceWalk:
    """Goes through a folder, and does what the second look asks for (`again.Copying`).

    Parameters
    ----------
    root, made
        Descriptors of the folder, and of the one that the copy is made in.
    exclude, mount_points
        Paths below ``root``: those that are left out, and those that become empty folders.
    generated
        Files that we put into folders of the source instead of what is there: folder to name to content.
    """

    def __init__(
        self,
        root: int,
        made: int,
        exclude: frozenset[bytes],
        mount_points: frozenset[bytes],
        generated: Mapping[bytes, Mapping[bytes, bytes]],
        options: Options,
        folders: Folders,
        batches: Batches,
        account: Account,
    ) -> None:
        self.source = Descent(root)
        self.mount_points = mount_points
        self.generated = generated
        self._root, self._made_state = root, os.fstat(made)
        self._exclude, self._options = exclude, options
        self._folders, self._batches, self._account = folders, batches, account

    def run(self) -> Iterator[None]:
        """Go through the source, making folders and batches; yields now and then."""
        yield from self.below(b"", self._root, None)

    def below(self, top: bytes, descriptor: int, where: bytes | None) -> Iterator[None]:
        """Go through one folder of it; ``where`` is its place in a git directory."""
        entered = self._enter(top, descriptor, where)
        yield from self._go(top, *entered)

    def _go(
        self,
        top: bytes,
        names: list[bytes],
        where: bytes | None,
        databases: frozenset[bytes],
    ) -> Iterator[None]:
        """Take these names of a folder, the last first, and all that is below them."""
        stack = [(top, names, where, databases)]
        met = 0
        while stack:
            folder, names, where, databases = stack[-1]
            if not names:
                stack.pop()
                continue
            met += 1
            if met % 64 == 0:
                yield
            name = names.pop()
            is_folder = name.endswith(b"/")
            if is_folder:
                name = name[:-1]
            path = folder + b"/" + name if folder else name
            if where is not None and is_passing(where, name):
                continue
            if name in self.generated.get(folder, ()):
                self._batches.put_blob(folder, name, self.generated[folder][name], 0o100644)
                continue
            if path in self.mount_points:
                self.make_mount_point(path)
                continue
            reason, chosen = self.judge(path, name, folder=is_folder, hook=where == b"hooks")
            if reason is not None:
                self._leave_out(folder, path, name, reason)
                continue
            try:
                descriptor = self.source.to(folder)
                state = os.lstat(name, dir_fd=descriptor)
            except OSError as error:
                self._not_met(folder, path, where, error)
                continue
            if stat.S_ISDIR(state.st_mode) != is_folder:
                self._batches.skip(folder, path, REPLACED)
            elif is_folder and os.path.samestat(state, self._made_state):
                self._batches.skip(folder, path, "is where the copy is made")
            elif is_folder:
                try:
                    below = self.source.enter(name)
                    entered = self._enter(path, below, git.enters(where, name))
                except OSError as error:
                    self._not_met(folder, path, where, error)
                    continue
                stack.append((path, *entered))
            elif stat.S_ISREG(state.st_mode):
                self._meet_file(folder, path, name, state, where, databases, chosen)
            elif stat.S_ISLNK(state.st_mode):
                self._batches.put(folder, (SYMLINK, name))
            else:
                self._batches.skip(
                    folder, path, KINDS.get(stat.S_IFMT(state.st_mode), "special file")
                )

    def _enter(
        self, path: bytes, descriptor: int, where: bytes | None
    ) -> tuple[list[bytes], bytes | None, frozenset[bytes]]:
        """Make a folder and list the source's."""
        state = os.fstat(descriptor)
        names = self._names(path, descriptor)
        if git.is_git_directory(names):
            where = b""
        databases = frozenset(self._databases(names, descriptor))
        lost: list[str] = []
        attributes = read_attributes(descriptor, lost.append)
        for reason in lost:
            self._batches.put(path, (LINE, changed_line(path, reason)))
            self._account.take(("changed", path, reason))
        if path:
            self._folders.make(path)
        owner = (state.st_uid, state.st_gid) if self._options.privileged else self._options.maker
        times = (state.st_atime_ns, state.st_mtime_ns)
        mode = stat.S_IMODE(state.st_mode)
        self._folders.note(path, owner, mode, times, attributes, where, seen(state))
        names.reverse()
        return names, where, databases

    def _names(self, path: bytes, descriptor: int) -> list[bytes]:
        """List a folder of the source; of a commit's repository, with what we put into it."""
        names = listing(descriptor)
        if self.mount_points:
            names = sorted(self.as_folder(path, name) for name in names)
        if path in self.generated:
            names = [name for name in names if not git.belongs_to_a_work_tree(name)]
            names = sorted([*names, *self.generated[path]])
        return names

    def as_folder(self, folder: bytes, name: bytes) -> bytes:
        """Return a name of a listing; as a folder's where one will be made for a mount."""
        path = folder + b"/" + name if folder else name
        return name + b"/" if path in self.mount_points else name

    def _databases(self, names: Sequence[bytes], descriptor: int) -> Iterator[bytes]:
        """Yield the SQLite databases of a folder that have a log beside them."""
        candidates = {
            base
            for name in names
            if name[-4:] in (b"-wal", b"-shm", b"rnal") and (base := sqlite.siblings(name))
        }
        for base in candidates.intersection(names):
            with contextlib.suppress(OSError):
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                file = os.open(base, flags, dir_fd=descriptor)
                try:
                    if os.pread(file, 16, 0) == sqlite.MAGIC:
                        yield base
                finally:
                    os.close(file)

    def judge(
        self, path: bytes, name: bytes, *, folder: bool, hook: bool = False
    ) -> tuple[str | None, bool]:
        """Say why a path is left out, None if it is not; and whether it is copied by choice."""
        if path in self._exclude:
            return ON_REQUEST, False
        if path == FILE_SYSTEMS_OWN:
            return FILE_SYSTEMS, False
        found = self._options.selection.by_name(path, name, folder=folder, hook=hook)
        if found is None or not found.kept:
            return found and found.reason, False
        self._account.take(("chosen", path, found.reason))
        return None, True

    def _leave_out(self, folder: bytes, path: bytes, name: bytes, reason: str) -> None:
        # What lies on another mount may be endless, and is no file of this folder.
        counts = reason not in (ON_REQUEST, FILE_SYSTEMS)
        below = self._below(folder, name) if counts else ()
        self._batches.skip(folder, path, reason, *below)

    def _below(self, folder: bytes, name: bytes) -> tuple[int, int]:
        try:
            return files_below(self.source.to(folder), name)
        except OSError:
            return 1, 0  # it went away; what is left out is told all the same

    def _meet_file(
        self,
        folder: bytes,
        path: bytes,
        name: bytes,
        state: os.stat_result,
        where: bytes | None,
        databases: frozenset[bytes],
        chosen: bool,
    ) -> None:
        special = CHOSEN if chosen else 0
        if databases:
            if name in databases:
                special |= SQLITE
            elif sqlite.siblings(name) in databases:
                self._batches.skip(folder, path, IN_BACKUP)
                return
        if git.holds_credentials(where, name):
            special |= SCRUB
        if where is not None:
            special |= GIT
        self._account.total_files += 1
        # What the second look finds is a copy of its own: its line may come before that of the first.
        # Nor does a name share what another rule makes of the content.
        if (
            state.st_nlink > 1
            and self._batches.ledger.settled is None
            and not special & (CHOSEN | SCRUB | SQLITE)
            and not self._options.selection.by_itself(path, name)
        ):
            key = link_key(state, name)
            first = self._batches.links.meet(key, state, path)
            if first is not None:
                self._batches.put(folder, (LINK, name, key, first), link=True)
                return
            special |= PRIMARY
        self._account.total_bytes += state.st_size
        self._batches.put(folder, (FILE, name, special), size=state.st_size)

    def _not_met(self, folder: bytes, path: bytes, where: bytes | None, error: OSError) -> None:
        if error.errno in (errno.ENOENT, errno.ESTALE) and where is not None:
            self._account.take(("gone", path))
        elif error.errno in (errno.ENOENT, errno.ESTALE):
            self._batches.skip(folder, path, VANISHED)
        elif error.errno in (errno.ELOOP, errno.ENOTDIR):
            self._batches.skip(folder, path, REPLACED)
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EIO):
            self._account.take(("unreadable", path))
        else:
            raise error

    def make_mount_point(self, path: bytes) -> None:
        """Make an empty folder that looks like the source's; like its root where that has none."""
        self._folders.make(path)
        parent, _, name = path.rpartition(b"/")
        state = os.fstat(self._root)
        with contextlib.suppress(OSError):
            found = os.lstat(name, dir_fd=self.source.to(parent))
            state = found if stat.S_ISDIR(found.st_mode) else state
        owner = (state.st_uid, state.st_gid) if self._options.privileged else self._options.maker
        times = (state.st_atime_ns, state.st_mtime_ns)
        self._folders.note(path, owner, stat.S_IMODE(state.st_mode), times, [])

    # ------------------------------------------------------------------ for the second look

    def folders(self) -> Iterator[Folder]:
        """Yield all folders that were listed, each before those in it."""
        return self._folders.listed()

    def names(self, folder: Folder, descriptor: int) -> list[bytes]:
        """List a folder of the source, without what git has there only for a moment."""
        return [
            name
            for name in self._names(folder.path, descriptor)
            if folder.where is None or not is_passing(folder.where, name)
        ]

    def keeps(self, path: bytes) -> bool:
        """Say whether it does not matter what the source has here."""
        folder, _, name = path.rpartition(b"/")
        planned = name in self.generated.get(folder, ()) or path in self.mount_points
        if (
            planned
            or path in self._account.staying
            or path in self._exclude
            or path == FILE_SYSTEMS_OWN
        ):
            return True
        found = self._options.selection.by_name(path, name)
        return found is not None and not found.kept

    def take_back(self, path: bytes) -> bool:
        """Remove a file from the copy, and what was said of it; False if it has to stay."""
        folder, _, name = path.rpartition(b"/")
        where = self._folders.made.to(folder)
        try:
            state = os.lstat(name, dir_fd=where)
        except FileNotFoundError:
            state = None
        if state is not None:
            if stat.S_ISDIR(state.st_mode) or state.st_nlink > 1:
                return False
            os.unlink(name, dir_fd=where)
        self._batches.ledger.drop(path)
        arrived = state is not None and stat.S_ISREG(state.st_mode)
        self._account.forget(path, state if arrived else None)
        return True

    def descend(self, folder: Folder, names: list[bytes]) -> Iterator[None]:
        """Copy these names of a folder that is there already."""
        if not names:
            return
        self.source.close()
        try:
            descriptor = self.source.to(folder.path)
        except OSError:
            return  # it went away; the next look will tell
        databases = frozenset(self._databases(listing(descriptor), descriptor))
        yield from self._go(folder.path, names[::-1], folder.where, databases)

    def settle(self) -> Iterator[None]:
        """Wait until all that was ordered is there."""
        return self._batches.settle()

    def lost(self) -> list[bytes]:
        """Return, and forget, the files of repositories that were gone when they were to be copied."""
        return self._account.lost()
