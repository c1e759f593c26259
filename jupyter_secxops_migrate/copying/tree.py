"""A verified copy of a tree: what arrives is proven, byte by byte, to be what left.

One process walks the source in a fixed order, makes the folders and hands out batches; the others
(`copier`, one for each CPU) copy, hash both ends and write lines of the manifest. At the end hard
links are made, folders get their metadata, and the lines are put in order. Memory does not grow
with the tree: what waits is bounded, lines go through files.

While it runs, the destination holds ``.secxops-incomplete``; a copy that finds it there removes
what an interrupted one left, and begins again. Data is not forced to disk unless ``sync`` is asked
for: what a crash of the machine loses, `verify` finds before anything uses the copy.
"""

from __future__ import annotations

import contextlib
import errno
import json
import marshal
import os
import stat
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from blake3 import blake3

from ..printable import printable
from . import clone, git, sqlite
from .again import Folder, SecondLook, Seen, seen
from .checkout import Submodule, submodules
from .content import Writer
from .copier import Copier
from .credentials import Selection
from .destination import FILE_SYSTEMS_OWN, FULL, MARKER, empty, remove
from .entries import (
    BLOB,
    CHOSEN,
    FILE,
    GIT,
    LINE,
    LINK,
    PRIMARY,
    SCRUB,
    SQLITE,
    SYMLINK,
    Commit,
    Options,
    link_key,
)
from .errors import CopyFailed, DiskFull, FileChanging, FileUnreadable, VerifyFailed
from .identity import insist_same
from .lines import MANIFEST, META, Ledger, Spool
from .manifest import (
    FORMAT,
    changed_line,
    entry_line,
    meta_path,
    skipped_line,
    xattrs_digest,
)
from .metadata import ANY_MODE, apply_metadata, read_attributes
from .pool import BATCH_BYTES, BATCH_ENTRIES, LARGE, Pool, default_workers
from .repository import is_passing
from .tally import Skipped, Tally, files_below
from .walk import Descent, listing, open_root
from .why import FILE_SYSTEMS, IN_BACKUP, KINDS, ON_REQUEST, REPLACED, VANISHED

__all__ = ["CopyResult", "Progress", "Skipped", "copy_tree"]

FOLDER_MODE = 0o040000  # in a commit
UNKNOWN = 64 << 10  # a guess, for batches of things whose size costs too much to ask for
MOST_SKIPPED = 1000


class Progress(NamedTuple):
    """How far it is. ``total_*`` is what was found so far, and all of it soon after the start."""

    files: int
    bytes: int
    total_files: int
    total_bytes: int


class CopyResult(NamedTuple):
    """``digest`` is the BLAKE3 (hex) of the manifest, ``owner`` uid and gid of the source's root.

    ``skipped`` is what was not copied, ``changed`` what arrived otherwise than it is, summed up after
    the first thousand; the metadata side file has all. ``kept`` is how many of the files a clone had
    brought. ``chosen`` are those that may hold credentials and were copied as somebody asked for it.
    """

    files: int
    bytes: int
    digest: str
    owner: tuple[int, int]
    skipped: tuple[Skipped, ...]
    kept: int = 0
    changed: tuple[Skipped, ...] = ()
    chosen: tuple[Skipped, ...] = ()


def copy_tree(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    manifest: str | os.PathLike[str],
    exclude: Iterable[str | bytes] = (),
    mount_points: Iterable[str | bytes] = (),
    keep: Iterable[str] = (),
    data: bool = False,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    sync: bool = False,
    commit: str | None = None,
    subfolder: str | bytes = b"",
    cloned: float | None = None,
    identity: str = "",
    write: Writer = os.write,
) -> CopyResult:
    """Copy the content of one folder into another and prove it.

    Parameters
    ----------
    source
        Folder; only ever read.
    destination
        Folder, empty or with what an interrupted copy left. Made if it is not there.
    manifest
        File to write (see `manifest`); its side file is ``manifest`` with ``.meta`` appended.
    exclude
        Paths relative to ``source`` that are left out.
    mount_points
        Paths relative to ``source`` that become empty folders, whatever is there: other volumes will be
        mounted on them.
    keep, data
        Paths that are copied although they may hold credentials; see `credentials.Selection`.
    workers
        Processes; by default one for each CPU that we may use. 1 starts none.
    progress
        Called up to five times a second.
    sync
        Force all to disk before it counts as done.
    commit
        Full hexadecimal id of a git commit: copy its files instead of the work tree's, and ``.git``
        with ``HEAD`` detached there and an index that equals it. Content of Git LFS and submodules come
        along where the repository has them. Nothing of the project is executed.
        Owned by whom the source's root belongs to, all times are the commit's.
    subfolder
        With ``commit``: only this folder of it, without ``.git``, for a project that is a part of
        its repository. ``source`` is the repository's root.
    cloned
        Not with ``commit``: the destination is a clone of the source (see `clone`) that was ordered at
        this time, in seconds since 1970. What it has and should not have is removed.
    identity
        Which folder ``source`` has to be (see `identity`).
    write
        Writes to the copied files; for tests that show that a bad write is found.

    Raises
    ------
    CopyFailed
        The source can't be listed, the destination is not empty, or an entry can't be made.
    DiskFull
        There is no room, or no quota, left.
    FileUnreadable, FileChanging
        With the number of such files and the first.
    SourceReplaced
        ``source`` is not the folder of ``identity``.
    VerifyFailed
        What was read back from the destination differs from what was read from the source; or a clone
        has not what has been there since before it was ordered.
    """
    try:
        with contextlib.ExitStack() as stack:
            return _Copy(
                os.fspath(source),
                os.fspath(destination),
                os.path.abspath(os.fspath(manifest)),
                frozenset(_inside(path) for path in exclude),
                frozenset(_inside(path) for path in mount_points),
                Selection(keep, data=data),
                workers or default_workers(),
                progress,
                sync,
                write,
                None if cloned is None or commit else int(cloned * 1e9),
                identity,
                stack,
            ).run(commit, _inside(subfolder) if subfolder else b"")
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(step="copy") from error
        where = error.filename if isinstance(error.filename, (str, bytes)) else os.fspath(source)
        raise CopyFailed(
            path=printable(os.fsencode(where)),
            reason=os.strerror(error.errno) if error.errno else str(error),
        ) from error


def _inside(path: str | bytes) -> bytes:
    """Return a relative path in our form.

    Raises
    ------
    CopyFailed
        It leads out of the tree.
    """
    parts = [part for part in os.fsencode(path).split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts or os.fsencode(path).startswith(b"/"):
        raise CopyFailed(
            path=printable(os.fsencode(path)), reason="it is not a path inside the source"
        )
    return b"/".join(parts)


class _Links:
    """Files with several names: the first that the walk meets is copied, the others are linked."""

    def __init__(self) -> None:
        self._left: dict[int, int] = {}
        self.first: dict[int, bytes] = {}
        self.digest: dict[int, str] = {}

    def meet(self, key: int, state: os.stat_result, path: bytes) -> bytes | None:
        """Return the first name of this file (`link_key`), None if this is it."""
        first = self.first.get(key)
        if first is None:
            self.first[key] = path
            self._left[key] = state.st_nlink - 1
            return None
        self._left[key] -= 1
        if self._left[key] <= 0:
            # All its names were met: no need to remember it (a tree may have very many).
            del self._left[key], self.first[key]
        return first


class _Copy:
    def __init__(
        self,
        source: str,
        destination: str,
        manifest: str,
        exclude: frozenset[bytes],
        mount_points: frozenset[bytes],
        selection: Selection,
        workers: int,
        progress: Callable[[Progress], None] | None,
        sync: bool,
        write: Writer,
        cloned: int | None,
        identity: str,
        stack: contextlib.ExitStack,
    ) -> None:
        self._where, self._manifest, self._exclude = source, manifest, exclude
        self._mount_points = mount_points
        self._selection = selection
        self._workers, self._sync, self._stack = workers, sync, stack
        self._progress, self._told = progress, 0.0
        self._root = self._opened(source)
        insist_same(self._root, identity, source)
        with contextlib.suppress(FileExistsError):
            os.mkdir(destination, 0o700)
        self._made = self._opened(destination)
        if os.path.samestat(os.fstat(self._root), os.fstat(self._made)):
            raise CopyFailed(path=source, reason="source and destination are the same folder")
        self._made_state = os.fstat(self._made)
        self._folder = self._opened(os.path.dirname(manifest))
        self._write, self._cloned = write, cloned
        self._from, self._to = Descent(self._root), Descent(self._made)
        stack.callback(self._from.close)
        stack.callback(self._to.close)
        # counted
        self._files = self._bytes = self._total_files = self._total_bytes = 0
        self._skipped, self._changed = Tally(MOST_SKIPPED), Tally(MOST_SKIPPED)
        self._chosen = Tally(MOST_SKIPPED)
        self._staying: set[bytes] = set()  # because of what is in them
        self._kept = 0
        self._unreadable = self._changing = 0
        self._first_unreadable: bytes | None = None
        self._first_changing: bytes | None = None
        state = os.fstat(self._root)
        self._owner = (state.st_uid, state.st_gid)
        # of a commit
        self._tree: Any = None
        self._generated: dict[bytes, dict[bytes, bytes]] = {}
        self._submodules: dict[bytes, Submodule] = {}
        # what is not done yet
        self._links = _Links()
        self._deferred: list[tuple[int, bytes]] = []
        self._segments: list[tuple[bytes, list[Any]]] = []
        self._segment_links = False
        self._segment_entries = self._segment_bytes = 0
        self._ledger = Ledger()
        self._folders = array("Q")
        # of the second look
        self._started = time.time_ns()
        self._lost: list[bytes] = []

    def _opened(self, path: str) -> int:
        descriptor = open_root(path)
        self._stack.callback(os.close, descriptor)
        return descriptor

    # ------------------------------------------------------------------ the flow

    def run(self, commit: str | None, subfolder: bytes) -> CopyResult:
        self._options = options = self._prepare()
        if commit is not None:
            self._options = options = self._open_commit(commit, subfolder)
        spools = [
            Spool(index, self._folder) for index in range(self._workers + (self._workers > 1))
        ]
        for spool in spools:
            self._stack.callback(spool.close)
        self._spool = Spool(len(spools), self._folder)
        self._stack.callback(self._spool.close)

        def start(index: int, send: Callable[[Any], None]) -> Callable[[Any], None]:
            alone = self._workers == 1
            if not alone:
                os.umask(0)  # a process of our own: files are made with the mode they are to have
            return Copier(self._root, self._made, spools[index], options, send, not alone).work

        try:
            with Pool(self._workers, start, self._take) as pool:
                self._pool = pool
                walk = self._walk if commit is None else self._walk_commit
                for _ in walk():
                    while pool.full:
                        pool.turn(0.2)
                        self._tell()
                    pool.turn(0)
                    self._tell()
                self._linker = Copier(self._root, self._made, spools[-1], options, self._take)
                for step in (self.settle, self._look_again):
                    for _ in step():
                        self._tell()
        except (ChildProcessError, BrokenPipeError) as error:
            raise CopyFailed(
                path=self._where, reason=f"a process of the copy was ended ({error})"
            ) from error
        self._raise_if_incomplete()
        root = self._dress_folders()
        digest = self._write_manifest(spools)
        if self._sync:
            self._to_disk()
        if self._cloned is not None:
            remove(self._made, MARKER, clone.FOLDER)
        os.rmdir(MARKER, dir_fd=self._made)
        apply_metadata(self._made, *root)
        self._tell(last=True)
        return CopyResult(
            self._files,
            self._bytes,
            digest,
            self._owner,
            self._skipped.rows(),
            self._kept,
            self._changed.rows(),
            self._chosen.rows(),
        )

    def _prepare(self) -> Options:
        """Make the destination empty but for the mark that it is incomplete."""
        names = [name for name in os.listdir(self._made) if name != os.fsdecode(FILE_SYSTEMS_OWN)]
        interrupted = os.fsdecode(MARKER) in names
        if names and not interrupted and self._cloned is None:
            raise CopyFailed(path=self._where, reason="the destination is not empty")
        if not interrupted:
            os.mkdir(MARKER, 0o700, dir_fd=self._made)
        if self._cloned is not None and os.fsdecode(MARKER) in os.listdir(self._root):
            # What is written there shows here: nothing of it may be moved or removed.
            if not interrupted:
                os.rmdir(MARKER, dir_fd=self._made)
            raise CopyFailed(path=self._where, reason="the clone is not a volume of its own")
        if interrupted:
            empty(self._made)
        if self._cloned is not None:
            brought = clone.set_aside(self._made, MARKER, FILE_SYSTEMS_OWN)
            if not brought and set(listing(self._root)) - {FILE_SYSTEMS_OWN + b"/"}:
                # Whoever forgets the source's content may have forgotten more.
                raise self._bad_clone("the clone came back empty", b"")
        state = os.stat(MARKER, dir_fd=self._made)
        privileged = os.geteuid() == 0
        return Options(
            privileged,
            (state.st_uid, state.st_gid),
            self._granularity(),
            MARKER,
            self._write,
            cloned=self._cloned,
            selection=self._selection,
        )

    def _granularity(self) -> int:
        """Find out in which unit the destination keeps times, in nanoseconds."""
        probe = 1_234_567_891_234_567_891
        os.utime(MARKER, ns=(probe, probe), dir_fd=self._made)
        kept = os.stat(MARKER, dir_fd=self._made).st_mtime_ns
        for unit in (1, 100, 1000, 10**6, 10**9, 2 * 10**9):
            if probe // unit * unit == kept:
                return unit
        return 1

    # ------------------------------------------------------------------ walking

    def _walk(self) -> Iterator[None]:
        """Go through the source, making folders and batches; yields now and then."""
        yield from self._descend(b"", self._root, None)

    def _descend(self, top: bytes, descriptor: int, where: bytes | None) -> Iterator[None]:
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
            if name in self._generated.get(folder, ()):
                self._put_blob(folder, name, self._generated[folder][name], 0o100644)
                continue
            if path in self._mount_points:
                self._make_mount_point(path)
                continue
            reason, chosen = self._judge(path, name, folder=is_folder, hook=where == b"hooks")
            if reason is not None:
                # What lies on another mount may be endless, and is no file of this folder.
                counts = reason not in (ON_REQUEST, FILE_SYSTEMS)
                self._skip(folder, path, reason, *(self._below(folder, name) if counts else ()))
                continue
            try:
                descriptor = self._from.to(folder)
                state = os.lstat(name, dir_fd=descriptor)
            except OSError as error:
                self._not_met(folder, path, where, error)
                continue
            if stat.S_ISDIR(state.st_mode) != is_folder:
                self._skip(folder, path, REPLACED)
            elif is_folder and os.path.samestat(state, self._made_state):
                self._skip(folder, path, "is where the copy is made")
            elif is_folder:
                try:
                    below = self._from.enter(name)
                    entered = self._enter(path, below, git.enters(where, name))
                except OSError as error:
                    self._not_met(folder, path, where, error)
                    continue
                stack.append((path, *entered))
            elif stat.S_ISREG(state.st_mode):
                self._meet_file(folder, path, name, state, where, databases, chosen)
            elif stat.S_ISLNK(state.st_mode):
                self._put(folder, (SYMLINK, name))
            else:
                self._skip(folder, path, KINDS.get(stat.S_IFMT(state.st_mode), "special file"))

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
            self._put(path, (LINE, changed_line(path, reason)))
            self._take(("changed", path, reason))
        if path:
            parent, _, name = path.rpartition(b"/")
            os.mkdir(name, 0o700, dir_fd=self._to.to(parent))
        owner = (state.st_uid, state.st_gid) if self._options.privileged else self._options.maker
        times = (state.st_atime_ns, state.st_mtime_ns)
        mode = stat.S_IMODE(state.st_mode)
        self._note_folder(path, owner, mode, times, attributes, where, seen(state))
        names.reverse()
        return names, where, databases

    def _names(self, path: bytes, descriptor: int) -> list[bytes]:
        """List a folder of the source; of a commit's repository, with what we put into it."""
        names = listing(descriptor)
        if self._mount_points:
            names = sorted(self._as_folder(path, name) for name in names)
        if path in self._generated:
            names = [name for name in names if not git.belongs_to_a_work_tree(name)]
            names = sorted([*names, *self._generated[path]])
        return names

    def _note_folder(
        self,
        path: bytes,
        owner: tuple[int, int],
        mode: int,
        times: tuple[int, int],
        attributes: list[tuple[str, bytes]],
        where: bytes | None = None,
        listed: Seen | None = None,
    ) -> None:
        """Write a folder's entry, and remember what it gets when all in it is there."""
        unit = self._options.granularity
        line = entry_line(
            path,
            b"directory",
            mode=mode,
            owner=owner,
            mtime_ns=times[1] // unit * unit,
            xattrs=xattrs_digest(attributes),
        )
        self._put(path, (LINE, line))
        at = self._spool.put(b"", _dump((path, owner, mode, times, attributes, where, listed)))
        self._folders.extend(at[3:])

    def _as_folder(self, folder: bytes, name: bytes) -> bytes:
        """Return a name of a listing; as a folder's where one will be made for a mount."""
        path = folder + b"/" + name if folder else name
        return name + b"/" if path in self._mount_points else name

    def _make_mount_point(self, path: bytes) -> None:
        """Make an empty folder that looks like the source's; like its root where that has none."""
        parent, _, name = path.rpartition(b"/")
        os.mkdir(name, 0o700, dir_fd=self._to.to(parent))
        state = os.fstat(self._root)
        with contextlib.suppress(OSError):
            found = os.lstat(name, dir_fd=self._from.to(parent))
            state = found if stat.S_ISDIR(found.st_mode) else state
        owner = (state.st_uid, state.st_gid) if self._options.privileged else self._options.maker
        times = (state.st_atime_ns, state.st_mtime_ns)
        self._note_folder(path, owner, stat.S_IMODE(state.st_mode), times, [])

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

    def _judge(
        self, path: bytes, name: bytes, *, folder: bool, hook: bool = False
    ) -> tuple[str | None, bool]:
        """Say why a path is left out, None if it is not; and whether it is copied by choice."""
        if path in self._exclude:
            return ON_REQUEST, False
        if path == FILE_SYSTEMS_OWN:
            return FILE_SYSTEMS, False
        found = self._selection.by_name(path, name, folder=folder, hook=hook)
        if found is None or not found.kept:
            return found and found.reason, False
        self._take(("chosen", path, found.reason))
        return None, True

    def _below(self, folder: bytes, name: bytes) -> tuple[int, int]:
        try:
            return files_below(self._from.to(folder), name)
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
                self._skip(folder, path, IN_BACKUP)
                return
        if git.holds_credentials(where, name):
            special |= SCRUB
        if where is not None:
            special |= GIT
        self._total_files += 1
        # What the second look finds is a copy of its own: its line may come before that of the first.
        # Nor does a name share what another rule makes of the content.
        if (
            state.st_nlink > 1
            and self._ledger.settled is None
            and not special & (CHOSEN | SCRUB | SQLITE)
            and not self._selection.by_itself(path, name)
        ):
            key = link_key(state, name)
            first = self._links.meet(key, state, path)
            if first is not None:
                self._put(folder, (LINK, name, key, first), link=True)
                return
            special |= PRIMARY
        self._total_bytes += state.st_size
        self._put(folder, (FILE, name, special), size=state.st_size)

    def _not_met(self, folder: bytes, path: bytes, where: bytes | None, error: OSError) -> None:
        if error.errno in (errno.ENOENT, errno.ESTALE) and where is not None:
            self._take(("gone", path))
        elif error.errno in (errno.ENOENT, errno.ESTALE):
            self._skip(folder, path, VANISHED)
        elif error.errno in (errno.ELOOP, errno.ENOTDIR):
            self._skip(folder, path, REPLACED)
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EIO):
            self._take(("unreadable", path))
        else:
            raise error

    def _skip(self, folder: bytes, path: bytes, reason: str, files: int = 1, size: int = 0) -> None:
        self._put(folder, (LINE, skipped_line(path, reason)))
        self._take(("skipped", path, reason, files, size))

    # ------------------------------------------------------------------ a commit

    def _open_commit(self, commit: str, subfolder: bytes) -> Options:
        try:
            repository = git.open_repository(self._root)
            self._tree, seconds = git.open_commit(repository, commit, subfolder)
            if not subfolder:
                self._generated[git.GIT_FOLDER] = self._head(commit, self._tree)
                self._submodules = submodules(self._root, repository, self._tree)
                for one in self._submodules.values():
                    self._generated[one.store] = self._head(one.commit, one.tree)
        except ValueError as error:
            raise CopyFailed(path=self._where, reason=str(error)) from error
        return self._options._replace(commit=Commit(self._owner, seconds * 10**9))

    def _head(self, commit: str, tree: Any) -> dict[bytes, bytes]:
        """Return what makes a git directory the one of a checkout of ``commit``."""
        index = git.index_of(tree, self._manifest + ".index")
        return {b"HEAD": commit.encode() + b"\n", b"index": index}

    def _walk_commit(self) -> Iterator[None]:
        """Go through the tree of a commit, and through ``.git`` where its name has its place."""
        stack = [(b"", *self._enter_tree(b"", self._tree), git.GIT_FOLDER)]
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
            if entry == git.GIT_FOLDER and folder in self._submodules:
                self._total_files += 1
                link = self._submodules[folder].link(folder)
                self._put_blob(folder, git.GIT_FOLDER, link, 0o100644)
                continue
            if entry == git.GIT_FOLDER and not folder:
                below = self._from.to(git.GIT_FOLDER)
                yield from self._descend(git.GIT_FOLDER, below, b"")
                continue
            name, mode = (
                (entry, FOLDER_MODE)
                if isinstance(entry, bytes)
                else (entry.raw_name, int(entry.filemode))
            )
            path = folder + b"/" + name if folder else name
            if path in self._mount_points:
                self._make_mount_point(path)
                continue
            if not git.is_safe_name(name):
                self._skip(folder, path, "is not a name of a file")
                continue
            hook = where == b"hooks"
            reason, chosen = self._judge(path, name, folder=mode == FOLDER_MODE, hook=hook)
            if reason is not None:
                counts = reason not in (ON_REQUEST, FILE_SYSTEMS)
                left = self._submodules[path].tree if path in self._submodules else entry
                self._skip(folder, path, reason, git.files_in(left) if counts else 1)
            elif mode == FOLDER_MODE:
                found = () if isinstance(entry, bytes) else entry
                inside = git.enters(where, name)
                stack.append((path, *self._enter_tree(path, found, inside), store))
            elif mode == 0o160000 and path in self._submodules:
                one = self._submodules[path]
                inside = git.enters(where, name)
                stack.append((path, *self._enter_tree(path, one.tree, inside), one.store))
            elif mode == 0o160000:
                self._enter_tree(path, ())
                self._skip(path, path, "git submodule, which a commit only names")
            else:
                self._total_files += 1
                special = CHOSEN if chosen else 0
                if git.holds_credentials(where, name):
                    special |= SCRUB
                self._put_blob(folder, name, (store, str(entry.id)), mode, special)

    def _enter_tree(
        self, path: bytes, tree: Any, where: bytes | None = None
    ) -> tuple[list[Any], bytes | None]:
        """Make a commit's folder and list it, last entry first; say where in a git directory it is."""
        assert self._options.commit is not None
        if path:
            parent, _, name = path.rpartition(b"/")
            os.mkdir(name, 0o700, dir_fd=self._to.to(parent))
        owner = self._options.commit.owner if self._options.privileged else self._options.maker
        time_ns = self._options.commit.time
        self._note_folder(path, owner, 0o755, (time_ns, time_ns), [])
        # git's order is ours, but what wrote a crafted tree need not have kept to it.
        keyed = [
            (
                self._as_folder(
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
        if path in self._submodules:
            keyed.append((git.GIT_FOLDER, git.GIT_FOLDER))
        elif not path and self._generated:
            keyed.append((git.GIT_FOLDER + b"/", git.GIT_FOLDER))
        keyed.sort(key=lambda pair: pair[0], reverse=True)
        return [entry for _, entry in keyed], where

    def _towards_mount_points(self, folder: bytes) -> set[bytes]:
        """Return the names in a folder that lead to mount points, which a commit need not have."""
        above = folder + b"/" if folder else b""
        return {
            path[len(above) :].partition(b"/")[0]
            for path in self._mount_points
            if path.startswith(above)
        }

    def _put_blob(
        self,
        folder: bytes,
        name: bytes,
        content: bytes | tuple[bytes, str],
        mode: int,
        special: int = 0,
    ) -> None:
        # Git tells a blob's size only by unpacking it: the total grows as blobs are written.
        self._put(folder, (BLOB, name, content, mode, special), size=UNKNOWN)

    # ------------------------------------------------------------------ batches

    def _put(
        self, folder: bytes, entry: tuple[Any, ...], *, size: int = 0, link: bool = False
    ) -> None:
        if self._segments and link != self._segment_links and (link or entry[0] != LINE):
            self._flush()
        self._segment_links = link or (self._segment_links and bool(self._segments))
        if not self._segments or self._segments[-1][0] != folder:
            self._segments.append((folder, []))
            self._segment_bytes += len(folder)
        self._segments[-1][1].append(entry)
        self._segment_entries += 1
        self._segment_bytes += size
        if self._segment_entries >= BATCH_ENTRIES or self._segment_bytes >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._segments:
            return
        number, segments = self._ledger.begin(), self._segments
        if self._segment_links:
            self._deferred.append((number, _dump(segments)))
        else:
            late = self._ledger.settled is not None
            batch = (number, bool(self._unreadable), late, segments)
            self._pool.add(batch, urgent=self._segment_bytes >= LARGE)
        self._segments = []
        self._segment_links = False
        self._segment_entries = self._segment_bytes = 0

    def _take(self, message: Any) -> None:
        """Take a message from whoever copies."""
        kind = message[0]
        if kind == "done":
            _, number, at, files, copied, primaries, kept = message
            self._ledger.note(number, at)
            self._files += files
            self._bytes += copied
            self._kept += kept
            self._links.digest.update(primaries)
        elif kind == "bytes":
            self._bytes += message[1]
        elif kind == "skipped":
            self._skipped.add(Skipped(printable(message[1]), *message[2:]))
        elif kind == "changed":
            self._changed.add(Skipped(printable(message[1]), message[2]))
        elif kind == "gone":
            self._lost.append(message[1])
        elif kind == "stays":
            self._staying.add(message[1])
        elif kind == "chosen":
            self._chosen.add(Skipped(printable(message[1]), message[2]))
        elif kind == "unreadable":
            self._unreadable += 1
            self._first_unreadable = min(self._first_unreadable or message[1], message[1])
        elif kind == "changing":
            self._changing += 1
            self._first_changing = min(self._first_changing or message[1], message[1])
        elif kind == "full":
            raise DiskFull(step="copy")
        elif kind == "differs":
            raise VerifyFailed(
                "What was read back is not what was written.",
                count=1,
                path=self._where,
                first=printable(message[1]),
                node=os.uname().nodename,
            )
        elif kind == "short":
            raise self._bad_clone("the clone lacks what was there before it", message[1])
        else:
            raise CopyFailed(path=printable(message[1]), reason=message[2])

    def _bad_clone(self, reason: str, path: bytes) -> VerifyFailed:
        return VerifyFailed(
            reason=reason,
            count=1,
            path=self._where,
            first=printable(path),
            node=os.uname().nodename,
        )

    def _link_all(self) -> None:
        """Make the hard links, now that what they lead to is there."""
        for number, dumped in self._deferred:
            segments = [
                (
                    folder,
                    [
                        entry
                        if entry[0] != LINK
                        else (*entry[:4], self._links.digest.get(entry[2]))
                        for entry in entries
                    ],
                )
                for folder, entries in _load(dumped)
            ]
            self._linker.work((number, bool(self._unreadable), False, segments))
            self._tell()
        self._deferred.clear()

    def _raise_if_incomplete(self) -> None:
        if self._unreadable and self._first_unreadable is not None:
            raise FileUnreadable(
                count=self._unreadable, path=self._where, first=printable(self._first_unreadable)
            )
        if self._changing and self._first_changing is not None:
            raise FileChanging(
                count=self._changing, path=self._where, first=printable(self._first_changing)
            )

    # ------------------------------------------------------------------ the second look

    def _look_again(self) -> Iterator[None]:
        if self._unreadable or self._changing:
            return
        self._ledger.settled = self._ledger.batches
        again = SecondLook(self, self._root, self._made, self._started, self._options.granularity)
        yield from again.run()
        for path in again.changing:
            self._take(("changing", path))

    def folders(self) -> Iterator[Folder]:
        for at in range(0, len(self._folders), 2):
            record = _load(os.pread(self._spool.meta, self._folders[at + 1], self._folders[at]))
            path, *_, where, listed = record
            yield Folder(path, where, None if listed is None else tuple(listed))

    def names(self, folder: Folder, descriptor: int) -> list[bytes]:
        return [
            name
            for name in self._names(folder.path, descriptor)
            if folder.where is None or not is_passing(folder.where, name)
        ]

    def keeps(self, path: bytes) -> bool:
        folder, _, name = path.rpartition(b"/")
        planned = name in self._generated.get(folder, ()) or path in self._mount_points
        if planned or path in self._staying or path in self._exclude or path == FILE_SYSTEMS_OWN:
            return True
        found = self._selection.by_name(path, name)
        return found is not None and not found.kept

    def take_back(self, path: bytes) -> bool:
        folder, _, name = path.rpartition(b"/")
        where = self._to.to(folder)
        try:
            state = os.lstat(name, dir_fd=where)
        except FileNotFoundError:
            state = None
        if state is not None:
            if stat.S_ISDIR(state.st_mode) or state.st_nlink > 1:
                return False
            os.unlink(name, dir_fd=where)
            if stat.S_ISREG(state.st_mode):
                self._files -= 1
                self._total_files -= 1
                self._bytes -= state.st_size
                self._total_bytes -= state.st_size
        self._ledger.drop(path)
        for tally in (self._skipped, self._changed):
            tally.drop(printable(path))
        return True

    def descend(self, folder: Folder, names: list[bytes]) -> Iterator[None]:
        if not names:
            return
        self._from.close()
        try:
            descriptor = self._from.to(folder.path)
        except OSError:
            return  # it went away; the next look will tell
        databases = frozenset(self._databases(listing(descriptor), descriptor))
        yield from self._go(folder.path, names[::-1], folder.where, databases)

    def settle(self) -> Iterator[None]:
        """Wait for all that was ordered so far, and make the links to it."""
        self._flush()
        yield from self._pool.drain()
        self._link_all()

    def lost(self) -> list[bytes]:
        lost, self._lost = self._lost, []
        return lost

    # ------------------------------------------------------------------ the end

    def _dress_folders(self) -> tuple[Any, ...]:
        """Give folders their metadata, the deepest first; return what the root is to get."""
        for at in range(len(self._folders) - 2, 0, -2):
            record = _load(os.pread(self._spool.meta, self._folders[at + 1], self._folders[at]))
            path, *rest = record
            made = self._to.to(path)
            apply_metadata(made, *self._dressing(path, rest))
        path, *rest = _load(os.pread(self._spool.meta, self._folders[1], self._folders[0]))
        return self._dressing(path, rest)

    def _dressing(self, path: bytes, rest: list[Any]) -> tuple[Any, ...]:
        owner, mode, times, attributes, *_ = rest

        def lost(reason: str) -> None:
            self._take(("changed", path, reason))

        return (
            tuple(owner) if self._options.privileged else None,
            mode,
            tuple(times),
            attributes,
            lost,
            ANY_MODE,
        )

    def _write_manifest(self, spools: Sequence[Spool]) -> str:
        """Put the lines in order, under their final names; return the manifest's digest."""
        hasher = blake3()
        header = {
            "format": FORMAT,
            "tool": "jupyter_secxops_migrate.copying",
            "owner": self._owner,
            "files": self._files,
            "bytes": self._bytes,
        }
        name = os.fsencode(os.path.basename(self._manifest))
        with (
            self._output(name + b".part") as manifest,
            self._output(os.fsencode(meta_path(os.fsdecode(name))) + b".part") as meta,
        ):
            meta.write(json.dumps(header).encode() + b"\n")
            for lines in self._ledger.lines(MANIFEST, spools):
                hasher.update(lines)
                manifest.write(lines)
            for lines in self._ledger.lines(META, spools):
                meta.write(lines)
        for final in (os.fsencode(meta_path(os.fsdecode(name))), name):
            os.rename(final + b".part", final, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        return hasher.hexdigest()

    def _output(self, name: bytes) -> Any:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(name, flags, 0o644, dir_fd=self._folder), "wb", 1 << 18)

    def _to_disk(self) -> None:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(self._made):
            raise OSError(ctypes.get_errno(), "the destination's file system could not be written")

    def _tell(self, *, last: bool = False) -> None:
        if self._progress is None:
            return
        now = time.monotonic()
        if last or now - self._told >= 0.2:
            self._told = now
            self._progress(
                Progress(
                    self._files,
                    self._bytes,
                    self._total_files,
                    max(self._bytes, self._total_bytes),
                )
            )


_dump, _load = marshal.dumps, marshal.loads
