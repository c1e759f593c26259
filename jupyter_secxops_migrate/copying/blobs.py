"""The files of a commit as a copy has them: git's objects, the content of Git LFS, and what we made ourselves."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from .checkout import NO_LFS, lfs_content, open_store, parse_pointer
from .content import CREATE, Content, SourceError
from .entries import CHOSEN, SCRUB, Options
from .git import GIT_FOLDER, open_repository, scrubbed
from .manifest import entry_line, manifest_line
from .metadata import apply_metadata
from .outcome import Changing, Outcome
from .still import unchanged
from .why import SCRUBBED

__all__ = ["Blobs"]


class Blobs:
    """Writes them. ``root`` is the descriptor of the folder that has the repository."""

    def __init__(self, root: int, options: Options, content: Content, outcome: Outcome) -> None:
        self._root, self._options = root, options
        self._content, self._outcome = content, outcome
        self._repositories: dict[bytes, Any] = {}

    def put(
        self,
        destination: int,
        name: bytes,
        path: bytes,
        content: bytes | tuple[bytes, str],
        mode: int,
        special: int,
    ) -> int | None:
        """Write a file that git has or that we made; return its size, None for a symbolic link."""
        commit = self._options.commit
        assert commit is not None
        data = content if isinstance(content, bytes) else self._read(*content)
        owner = commit.owner if self._options.privileged else self._options.maker
        if stat.S_ISLNK(mode):
            self._put_link(destination, name, path, data, owner, commit.time)
            return None
        flags = [b"commit"]
        start = data[: self._options.selection.look(name, len(data))]
        if special & CHOSEN or (
            isinstance(content, tuple) and self._outcome.judged(path, name, len(data), start)
        ):
            flags.append(b"chosen")
        if special & SCRUB and (clean := scrubbed(name, data)) != data:
            flags.append(b"scrubbed")
            self._outcome.change(path, SCRUBBED)
            data = clean
        permissions = 0o755 if mode & 0o100 else 0o644
        made = os.open(name, CREATE, 0o600, dir_fd=destination)
        try:
            store = None if isinstance(content, bytes) else content[0]
            digest = self._put_content(made, path, data, store)
            size = os.fstat(made).st_size
            apply_metadata(
                made,
                owner if self._options.privileged else None,
                permissions,
                (commit.time, commit.time),
                [],
                lambda reason: None,
            )
        finally:
            os.close(made)
        self._outcome.manifest.append(manifest_line(digest, path))
        self._outcome.meta.append(
            entry_line(
                path,
                b"file",
                mode=permissions,
                owner=owner,
                mtime_ns=self._options.in_unit(commit.time),
                size=size,
                flags=flags,
            )
        )
        return size

    def _put_content(self, made: int, path: bytes, data: bytes, store: bytes | None) -> str:
        """Write a blob, or the content of Git LFS for which it stands; return the digest."""
        pointer = None if store is None else parse_pointer(data)
        if store is None or pointer is None:
            return self._content.put(data, made)
        found = lfs_content(self._root, store, pointer)
        if found is None:
            spoilt = lfs_content(self._root, store, pointer, checked=False)
            if spoilt is not None:
                os.close(spoilt)
                raise SourceError(OSError(errno.EIO, "its content in Git LFS is not what it was"))
            self._outcome.change(path, NO_LFS)
            return self._content.put(data, made)
        try:
            before = os.fstat(found)
            digest = self._content.copy(found, made, pointer.size, False)
            if digest is None or not unchanged(before, os.fstat(found)):
                raise Changing
            return digest
        finally:
            os.close(found)

    def _put_link(
        self,
        destination: int,
        name: bytes,
        path: bytes,
        target: bytes,
        owner: tuple[int, int],
        time_ns: int,
    ) -> None:
        os.symlink(target, name, dir_fd=destination)
        if self._options.privileged:
            os.chown(name, *owner, dir_fd=destination, follow_symlinks=False)
        os.utime(name, ns=(time_ns, time_ns), dir_fd=destination, follow_symlinks=False)
        self._outcome.meta.append(
            entry_line(
                path,
                b"symlink",
                owner=owner,
                mtime_ns=self._options.in_unit(time_ns),
                target=target,
                flags=[b"commit"],
            )
        )

    def _read(self, store: bytes, name: str) -> bytes:
        import pygit2

        if store not in self._repositories:
            root = self._root
            whole = store == GIT_FOLDER
            self._repositories[store] = open_repository(root) if whole else open_store(root, store)
        try:
            return bytes(self._repositories[store][name].data)
        except (KeyError, pygit2.GitError) as error:
            raise SourceError(OSError(errno.EIO, str(error))) from None
