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
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from blake3 import blake3

from ..printable import printable
from . import clone
from .account import Account, Progress
from .again import SecondLook
from .batches import Batches
from .commit import CommitWalk, Opened, open_commit
from .content import Writer
from .copier import Copier
from .credentials import Selection
from .destination import FILE_SYSTEMS_OWN, FULL, MARKER, empty, remove
from .entries import Commit, Options
from .errors import CopyFailed, DiskFull
from .folders import Folders
from .identity import insist_same
from .lines import MANIFEST, META, Spool
from .manifest import FORMAT, meta_path
from .metadata import apply_metadata
from .pool import Pool, default_workers
from .source import SourceWalk
from .tally import Skipped
from .walk import Descent, listing, open_root

__all__ = ["CopyResult", "copy_tree"]


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
        self._root = self._opened(source)
        insist_same(self._root, identity, source)
        with contextlib.suppress(FileExistsError):
            os.mkdir(destination, 0o700)
        self._made = self._opened(destination)
        if os.path.samestat(os.fstat(self._root), os.fstat(self._made)):
            raise CopyFailed(path=source, reason="source and destination are the same folder")
        self._folder = self._opened(os.path.dirname(manifest))
        self._write, self._cloned = write, cloned
        state = os.fstat(self._root)
        self._owner = (state.st_uid, state.st_gid)
        self._account = Account(source, progress)
        self._batches = Batches(self._account)
        self._started = time.time_ns()

    def _opened(self, path: str) -> int:
        descriptor = open_root(path)
        self._stack.callback(os.close, descriptor)
        return descriptor

    # ------------------------------------------------------------------ the flow

    def run(self, commit: str | None, subfolder: bytes) -> CopyResult:
        options = self._prepare()
        opened = None if commit is None else self._open_commit(commit, subfolder)
        if opened is not None:
            options = options._replace(commit=Commit(self._owner, opened.time * 10**9))
        account, batches = self._account, self._batches
        spools = [self._spool(index) for index in range(self._workers + (self._workers > 1))]
        folders = self._folders(self._spool(len(spools)), options)
        source = self._source(opened, options, folders)
        walk: SourceWalk | CommitWalk = source
        if opened is not None:
            walk = CommitWalk(opened, source, options, folders, batches, account)

        def start(index: int, send: Callable[[Any], None]) -> Callable[[Any], None]:
            alone = self._workers == 1
            if not alone:
                os.umask(0)  # a process of our own: files are made with the mode they are to have
            return Copier(self._root, self._made, spools[index], options, send, not alone).work

        try:
            with Pool(self._workers, start, batches.take) as pool:
                batches.pool = pool
                for _ in walk.run():
                    while pool.full:
                        pool.turn(0.2)
                        account.tell()
                    pool.turn(0)
                    account.tell()
                batches.linker = Copier(self._root, self._made, spools[-1], options, batches.take)
                for step in (batches.settle(), self._look_again(source, options)):
                    for _ in step:
                        account.tell()
        except (ChildProcessError, BrokenPipeError) as error:
            raise CopyFailed(
                path=self._where, reason=f"a process of the copy was ended ({error})"
            ) from error
        account.raise_if_incomplete()
        root = folders.apply_metadata()
        digest = self._write_manifest(spools)
        if self._sync:
            self._to_disk()
        if self._cloned is not None:
            remove(self._made, MARKER, clone.FOLDER)
        os.rmdir(MARKER, dir_fd=self._made)
        apply_metadata(self._made, *root)
        account.tell(last=True)
        return CopyResult(
            account.files,
            account.bytes,
            digest,
            self._owner,
            account.skipped.rows(),
            account.kept,
            account.changed.rows(),
            account.chosen.rows(),
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
                raise self._account.bad_clone("the clone came back empty", b"")
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

    def _open_commit(self, commit: str, subfolder: bytes) -> Opened:
        try:
            return open_commit(self._root, commit, subfolder, self._manifest + ".index")
        except ValueError as error:
            raise CopyFailed(path=self._where, reason=str(error)) from error

    def _spool(self, index: int) -> Spool:
        spool = Spool(index, self._folder)
        self._stack.callback(spool.close)
        return spool

    def _folders(self, spool: Spool, options: Options) -> Folders:
        made = Descent(self._made)
        self._stack.callback(made.close)
        return Folders(made, spool, options, self._batches, self._account)

    def _source(self, opened: Opened | None, options: Options, folders: Folders) -> SourceWalk:
        walk = SourceWalk(
            self._root,
            self._made,
            self._exclude,
            self._mount_points,
            {} if opened is None else opened.generated,
            options,
            folders,
            self._batches,
            self._account,
        )
        self._stack.callback(walk.source.close)
        return walk

    def _look_again(self, walk: SourceWalk, options: Options) -> Iterator[None]:
        """Copy what was moved meanwhile; not where the copy has failed already."""
        if self._account.unreadable or self._account.changing:
            return
        ledger = self._batches.ledger
        ledger.settled = ledger.batches
        again = SecondLook(walk, self._root, self._made, self._started, options.granularity)
        yield from again.run()
        for path in again.changing:
            self._account.take(("changing", path))

    # ------------------------------------------------------------------ the end

    def _write_manifest(self, spools: Sequence[Spool]) -> str:
        """Put the lines in order, under their final names; return the manifest's digest."""
        hasher = blake3()
        header = {
            "format": FORMAT,
            "tool": "jupyter_secxops_migrate.copying",
            "owner": self._owner,
            "files": self._account.files,
            "bytes": self._account.bytes,
        }
        name = os.fsencode(os.path.basename(self._manifest))
        with (
            self._output(name + b".part") as manifest,
            self._output(os.fsencode(meta_path(os.fsdecode(name))) + b".part") as meta,
        ):
            meta.write(json.dumps(header).encode() + b"\n")
            for lines in self._batches.ledger.lines(MANIFEST, spools):
                hasher.update(lines)
                manifest.write(lines)
            for lines in self._batches.ledger.lines(META, spools):
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
