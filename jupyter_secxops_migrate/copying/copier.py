"""What one process of the copy does: batches of entries, from descriptors to descriptors.

Each entry ends as a line in the manifest and the side file, or as a message to the parent: skipped,
unreadable, changing, failed. The parent (`tree`) walks, makes folders, and puts the lines in order.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from typing import Any

from .blobs import Blobs
from .clone import Aside
from .content import CREATE, Content, Mismatch, SourceError, settle
from .destination import FULL
from .entries import (
    BLOB,
    CHOSEN,
    FILE,
    GIT,
    LINE,
    PRIMARY,
    SCRUB,
    SQLITE,
    SYMLINK,
    Options,
    link_key,
)
from .git import EXAMINED_MOST, scrubbed
from .lines import Spool
from .manifest import entry_line, manifest_line, xattrs_digest
from .metadata import ANY_MODE, apply_metadata, attributes_of, read_attributes, runs_as_another
from .outcome import Changing, Outcome, Short, Skip
from .sqlite import MAGIC
from .still import ATTEMPTS, Stillness, unchanged
from .walk import READ, Descent
from .why import REPLACED, SCRUBBED, SETUID, VANISHED

__all__ = ["Copier"]


class Copier:
    """Copies batches. ``send`` takes messages to the parent."""

    def __init__(
        self,
        source: int,
        destination: int,
        spool: Spool,
        options: Options,
        send: Callable[[Any], None],
        unmasked: bool = False,
    ) -> None:
        # Whoever is not root could set no attribute on a file that was made read-only.
        self._with_mode = unmasked and options.privileged
        self._source, self._destination = Descent(source), Descent(destination)
        self._spool, self._options, self._send = spool, options, send
        self._content = Content(options.write, self._tick)
        self._outcome = Outcome(options, send)
        self._blobs = Blobs(source, options, self._content, self._outcome)
        self._stillness = Stillness()
        self._ticked = time.monotonic()
        self._early = self._unsent = self._kept = 0
        self._aside = None
        if options.cloned is not None:
            self._aside = Aside(destination, options.staging)
        self._first_descent = Descent(destination)
        self._instead: dict[int, tuple[bytes, str]] = {}
        self._first: tuple[bytes, int] = (b"", destination)
        self._primaries: list[tuple[int, str]] = []

    def work(self, batch: Any) -> None:
        """Copy one batch: ``(number, only_look, afresh, [(folder, [entry, …]), …])``.

        ``afresh``: folders may be others than those that had their names.
        """
        number, only_look, afresh, segments = batch
        if afresh:
            self._source.close()
        self._outcome.begin()
        self._primaries = []
        files = copied = self._early = self._unsent = self._kept = 0
        for folder, entries in segments:
            try:
                # A commit's folders need not be in the work tree, and its entries not the work tree's.
                blobs = entries[0][0] in (BLOB, LINE) and all(e[0] in (BLOB, LINE) for e in entries)
                source = -1 if blobs else self._source.to(folder)
            except OSError as error:
                self._lost_folder(folder, entries, error)
                continue
            destination = self._destination.to(folder)
            prefix = folder + b"/" if folder else b""
            for entry in entries:
                kind, name = entry[0], entry[1]
                if kind == LINE:
                    self._outcome.meta.append(name)
                    continue
                path = prefix + name
                if only_look:
                    self._look(source, path, entry)
                    continue
                try:
                    if kind == FILE:
                        copied += self._file(source, destination, name, path, entry[2])[0]
                        files += 1
                    elif kind == BLOB:
                        size = self._blobs.put(destination, name, path, *entry[2:])
                        copied += size or 0
                        files += size is not None
                    elif kind == SYMLINK:
                        self._symlink(source, destination, name, path)
                    else:
                        copied += self._link(source, destination, name, path, *entry[2:])
                        files += 1
                except Skip as skip:
                    self._outcome.skip(path, *skip.args)
                except Changing:
                    self._send(("changing", path))
                except SourceError as error:
                    self._source_error(path, error.error, entry)
                except Mismatch:
                    self._send(("differs", path))
                except Short:
                    self._send(("short", path))
                except OSError as error:
                    if error.errno in FULL:
                        self._send(("full",))
                    else:
                        self._send(("failed", path, os.strerror(error.errno or 0)))
        at = self._spool.put(b"".join(self._outcome.manifest), b"".join(self._outcome.meta))
        done = (number, at, files, copied - self._early, self._primaries, self._kept)
        self._send(("done", *done))

    # ------------------------------------------------------------------ one entry

    def _file(
        self, source: int, destination: int, name: bytes, path: bytes, special: int
    ) -> tuple[int, str]:
        try:
            descriptor = os.open(name, READ, dir_fd=source)
        except OSError as error:
            raise SourceError(error) from None
        try:
            before = os.fstat(descriptor)
            mode = before.st_mode & 0o777 if self._with_mode else 0o600
            kept = self._from_clone(descriptor, before, destination, name, path, special)
            if kept is None:
                made = os.open(name, CREATE, mode, dir_fd=destination)
            else:
                made, mode = kept, ANY_MODE
            try:
                state, digest, flags = self._settled(
                    descriptor, before, made, source, name, path, special, kept is not None
                )
                attributes = self._attributes(descriptor, path)
                self._apply_metadata(made, state, attributes, path, mode)
            except BaseException:
                os.unlink(name, dir_fd=destination)
                raise
            finally:
                os.close(made)
        finally:
            os.close(descriptor)
        size = state.st_size
        if runs_as_another(state.st_mode):
            self._outcome.change(path, SETUID)
        if b"scrubbed" in flags:
            self._outcome.change(path, SCRUBBED)
        self._outcome.manifest.append(manifest_line(digest, path))
        self._outcome.meta.append(
            entry_line(
                path,
                b"file",
                mode=state.st_mode & 0o1777,
                owner=self._owner(state),
                mtime_ns=self._options.in_unit(state.st_mtime_ns),
                size=size,
                xattrs=xattrs_digest(attributes) if attributes else None,
                flags=flags,
            )
        )
        if special & PRIMARY:
            self._primaries.append((link_key(state, name), digest))
        return size, digest

    def _from_clone(
        self,
        descriptor: int,
        state: os.stat_result,
        destination: int,
        name: bytes,
        path: bytes,
        special: int,
    ) -> int | None:
        """Bring the clone's file into place, if it may be equal to the source's; else None."""
        if self._aside is None:
            return None
        folder = path[: -len(name) - 1]
        if special & ~GIT or not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
            self._aside.drop(folder, name)
            return None
        found = self._aside.take(folder, name, destination, state.st_size)
        if found is None:
            self._insist(state)
        elif attributes_of(found) != attributes_of(descriptor):
            os.close(found)
            os.unlink(name, dir_fd=destination)
            return None
        return found

    def _insist(self, state: os.stat_result) -> None:
        """Raise `Short` if the source has not changed since it was cloned, and so can't differ."""
        if self._options.cloned is not None and state.st_ctime_ns < self._options.cloned:
            raise Short

    def _equal(self, descriptor: int, made: int, state: os.stat_result) -> str | None:
        """Hash both ends of a file that the clone brought; None where they differ."""
        size = state.st_size
        sparse = state.st_blocks * 512 < size
        digest = self._content.digest(descriptor, size, sparse, of_source=True)
        arrived = self._content.digest(made, size, True) if os.fstat(made).st_size == size else None
        if digest is not None and digest != arrived:
            self._insist(state)
            return None
        return digest

    def _settled(
        self,
        descriptor: int,
        state: os.stat_result,
        made: int,
        folder: int,
        name: bytes,
        path: bytes,
        special: int,
        kept: bool = False,
    ) -> tuple[os.stat_result, str, list[bytes]]:
        """Copy the content until the source holds still; return its state, digest and flags."""
        pause = 0.02
        for attempt in range(ATTEMPTS):
            if attempt:
                state = os.fstat(descriptor)
            if settle(state.st_ctime_ns):
                state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                raise Skip(REPLACED)
            twice = self._stillness.prepare(descriptor, state)
            flags: list[bytes] = []
            if special & CHOSEN or self._stays(descriptor, path, name, state.st_size):
                flags.append(b"chosen")
            if special & SCRUB:
                digest = self._put_scrubbed(descriptor, made, state, name, flags)
            elif special & SQLITE or (attempt and self._is_sqlite(descriptor)):
                digest = self._back_up(descriptor, made, folder, name)
                flags.append(b"sqlite-backup")
                return self._as_made(state, made), digest, flags
            elif kept and not attempt:
                digest = self._equal(descriptor, made, state)
            else:
                sparse = state.st_blocks * 512 < state.st_size
                digest = self._content.copy(descriptor, made, state.st_size, sparse)
            as_is = b"scrubbed" not in flags
            if digest is not None and self._held_still(
                descriptor, state, digest if twice and as_is else None
            ):
                self._kept += kept and not attempt
                return (state if as_is else self._as_made(state, made)), digest, flags
            os.ftruncate(made, 0)
            os.lseek(made, 0, os.SEEK_SET)
            if attempt < ATTEMPTS - 1:
                time.sleep(pause)
                pause *= 2
        raise Changing

    def _held_still(self, descriptor: int, before: os.stat_result, digest: str | None) -> bool:
        """Say whether a file is as it was; if a digest is given, by its content too."""
        if digest is not None:
            sparse = before.st_blocks * 512 < before.st_size
            again = self._content.digest(descriptor, before.st_size, sparse, of_source=True)
            if again != digest:
                return False
        return unchanged(before, os.fstat(descriptor))

    def _as_made(self, state: os.stat_result, made: int) -> os.stat_result:
        """Return ``state`` with the size of what was made."""
        values = list(state)
        values[stat.ST_SIZE] = os.fstat(made).st_size
        extra = {key: getattr(state, key) for key in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns")}
        return os.stat_result(values, extra)

    def _stays(self, descriptor: int, path: bytes, name: bytes, size: int) -> bool:
        """Skip a file whose content says that it stays; return whether it was asked for all the same."""
        most = self._options.selection.look(name, size)
        if not most:
            return False
        try:
            start = os.pread(descriptor, most, 0)
        except OSError as error:
            raise SourceError(error) from None
        return self._outcome.judged(path, name, size, start)

    def _put_scrubbed(
        self, descriptor: int, made: int, state: os.stat_result, name: bytes, flags: list[bytes]
    ) -> str | None:
        """Copy one of git's own files without the credentials in it."""
        if state.st_size > EXAMINED_MOST:
            raise Skip("too large to be searched for credentials")
        try:
            data = _read_whole(descriptor, state.st_size)
        except OSError as error:
            raise SourceError(error) from None
        if len(data) != state.st_size:
            return None
        clean = scrubbed(name, data)
        if clean != data:
            flags.append(b"scrubbed")
        return self._content.put(clean, made)

    def _is_sqlite(self, descriptor: int) -> bool:
        try:
            return os.pread(descriptor, 16, 0) == MAGIC
        except OSError as error:
            raise SourceError(error) from None

    def _back_up(self, descriptor: int, made: int, folder: int, name: bytes) -> str:
        from .sqlite import Busy, back_up

        try:
            staged = back_up(
                descriptor, folder, name, self._destination.root, self._options.staging
            )
        except Busy:
            raise Changing from None
        try:
            digest = self._content.copy(staged, made, os.fstat(staged).st_size, False)
        finally:
            os.close(staged)
        if digest is None:
            raise Mismatch
        return digest

    def _symlink(self, source: int, destination: int, name: bytes, path: bytes) -> None:
        try:
            state = os.lstat(name, dir_fd=source)
            if not stat.S_ISLNK(state.st_mode):
                raise Skip(REPLACED)
            target = os.readlink(name, dir_fd=source)
        except OSError as error:
            raise SourceError(error) from None
        os.symlink(target, name, dir_fd=destination)
        if self._options.privileged:
            os.chown(name, state.st_uid, state.st_gid, dir_fd=destination, follow_symlinks=False)
        os.utime(
            name,
            ns=(state.st_atime_ns, state.st_mtime_ns),
            dir_fd=destination,
            follow_symlinks=False,
        )
        self._outcome.meta.append(
            entry_line(
                path,
                b"symlink",
                owner=self._owner(state),
                mtime_ns=self._options.in_unit(state.st_mtime_ns),
                target=target,
            )
        )

    def _link(
        self,
        source: int,
        destination: int,
        name: bytes,
        path: bytes,
        key: int,
        first: bytes,
        digest: str | None,
    ) -> int:
        """Link to ``first``; copy if that did not arrive, or this is not the same file any more."""
        try:
            state = os.lstat(name, dir_fd=source)
        except OSError as error:
            raise SourceError(error) from None
        if link_key(state, name) != key:
            return self._file(source, destination, name, path, 0)[0]
        if digest is None:
            # The name that was to be copied went away; the next one takes its place.
            if key not in self._instead:
                size, digest = self._file(source, destination, name, path, 0)
                self._instead[key] = (path, digest)
                return size
            first, digest = self._instead[key]
        folder, _, last = first.rpartition(b"/")
        if self._first[0] != folder:
            self._first = (folder, self._first_descent.to(folder))
        try:
            os.link(
                last, name, src_dir_fd=self._first[1], dst_dir_fd=destination, follow_symlinks=False
            )
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            return self._file(source, destination, name, path, 0)[0]
        self._outcome.manifest.append(manifest_line(digest, path))
        self._outcome.meta.append(entry_line(path, b"file", link=first))
        return 0

    # ------------------------------------------------------------------ metadata

    def _attributes(self, descriptor: int, path: bytes) -> list[tuple[str, bytes]]:
        return read_attributes(descriptor, lambda reason: self._outcome.change(path, reason))

    def _apply_metadata(
        self,
        made: int,
        state: os.stat_result,
        attributes: list[tuple[str, bytes]],
        path: bytes,
        made_mode: int,
    ) -> None:
        apply_metadata(
            made,
            (state.st_uid, state.st_gid) if self._options.privileged else None,
            state.st_mode & 0o1777,
            (state.st_atime_ns, state.st_mtime_ns),
            attributes,
            lambda reason: self._outcome.change(path, reason),
            made_mode,
        )

    def _owner(self, state: os.stat_result) -> tuple[int, int]:
        return (state.st_uid, state.st_gid) if self._options.privileged else self._options.maker

    # ------------------------------------------------------------------ what went otherwise

    def _source_error(self, path: bytes, error: OSError, entry: Any) -> None:
        if error.errno == errno.ENOENT and entry[0] == FILE and entry[2] & GIT:
            self._send(("gone", path))
        elif error.errno == errno.ENOENT:
            self._outcome.skip(path, VANISHED)
        elif error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.ENXIO):
            self._outcome.skip(path, REPLACED)
        else:
            self._send(("unreadable", path))

    def _lost_folder(self, folder: bytes, entries: Any, error: OSError) -> None:
        for entry in entries:
            if entry[0] == LINE:
                self._outcome.meta.append(entry[1])
            else:
                path = folder + b"/" + entry[1] if folder else entry[1]
                self._source_error(path, error, entry)

    def _look(self, source: int, path: bytes, entry: Any) -> None:
        """Something can't be read, so the copy fails; find out only what else can't be."""
        if entry[0] in (SYMLINK, BLOB):
            return
        try:
            os.close(os.open(entry[1], READ, dir_fd=source))
        except OSError as error:
            self._source_error(path, error, entry)

    def _tick(self, count: int) -> None:
        self._unsent += count
        now = time.monotonic()
        if now - self._ticked > 0.2:
            self._ticked = now
            # Sending finds out, too, whether there is still a parent.
            self._send(("bytes", self._unsent))
            self._early += self._unsent
            self._unsent = 0


def _read_whole(descriptor: int, size: int) -> bytes:
    parts = []
    position = 0
    while position < size and (part := os.pread(descriptor, size - position, position)):
        parts.append(part)
        position += len(part)
    return b"".join(parts)
