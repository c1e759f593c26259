"""The build context: the files of the project that an image build may see, as a tar stream.

Deterministic, so that the engine's layer cache holds: a fixed order, no owners, no times, two
modes. Only what the Dockerfile's COPY and ADD can reach is sent, where that can be known: the
classic builder takes whatever it is sent, and a project may hold gigabytes. Never sent: ``.git``
(an image must not hold history), what is never copied at all, and what is no file, folder or link.

It does not build; and it does not promise that the files stay as they were: `BuildContext.digests`
are there to be compared with the copy's manifest.
"""

from __future__ import annotations

import os
import stat
import tarfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Protocol, cast

import pygit2
from blake3 import blake3
from pygit2.enums import FileMode, ObjectType

from .. import errors
from .dockerfile import parse
from .ignore import DockerIgnore, Reach
from .tree import (
    MAX_LOOK,
    Kind,
    OpenFile,
    content_matters,
    read_regular,
    readable,
    reason_in_content,
    reason_to_stay,
    walk,
)
from .version import open_own

CHUNK = 256 * 1024
MAX_IGNORE = 1024 * 1024

TIME = 946684800
"""The time of every entry, seconds since the epoch: 2000-01-01. Not 0: zip files, and so Python
wheels built in the image, can't hold times before 1980."""


class Content(Protocol):
    """A file's content: ``size`` is in bytes, as it was when the file was opened."""

    size: int

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """One file, folder or link of the context.

    ``size`` is in bytes; ``open`` gives a file's content, or None if it went away meanwhile.
    ``target`` is what a link points to.
    """

    path: str
    kind: Kind
    executable: bool
    size: int
    target: str
    open: Callable[[], Content | None]


class _Source(Protocol):
    """Where files come from: a folder, a commit, or a tar stream."""

    def small_file(self, name: str, limit: int = MAX_IGNORE) -> bytes | None:
        """Return a file of the top folder, None without it or if it has more bytes than ``limit``."""
        ...

    def items(self, enter: Callable[[str], bool]) -> Iterator[Item]:
        """Yield all items, folders before what they hold; ``enter`` says which to look into."""
        ...


class BuildContext:
    """The build context of a project.

    Parameters
    ----------
    project
        The project's folder.
    dockerfile
        The Dockerfile's bytes; they are sent as ``Dockerfile`` whatever the project holds there.
    commit
        Full id of a local git commit whose files to send instead of the folder's.
    extra
        Files to add: path to content.
    buildkit
        The builder is BuildKit: ``Dockerfile.dockerignore`` goes before ``.dockerignore``.
    everything
        Send all that ``.dockerignore`` leaves, not only what COPY and ADD can reach (a base image
        with ``ONBUILD COPY`` needs it).

    Attributes
    ----------
    digests
        Path to BLAKE3 hex digest of each file sent; complete once `chunks` is exhausted.
    digest
        BLAKE3 hex digest over everything sent, equal for equal contexts; likewise.

    Raises
    ------
    errors.BadDockerfile
        The Dockerfile or ``.dockerignore`` can't be read as one.
    errors.NoSuchVersion
        There is no such commit.
    """

    def __init__(
        self,
        project: Path,
        dockerfile: bytes,
        commit: str | None = None,
        extra: Mapping[str, bytes] | None = None,
        *,
        buildkit: bool = False,
        everything: bool = False,
    ) -> None:
        source = _Folder(project) if commit is None else _Commit(project, commit)
        self._prepare(source, dockerfile, extra, buildkit, everything)

    @classmethod
    def from_tar(
        cls,
        source: Callable[[], Iterator[bytes]] | Iterator[bytes],
        dockerfile: bytes,
        extra: Mapping[str, bytes] | None = None,
        *,
        buildkit: bool = False,
        everything: bool = False,
    ) -> BuildContext:
        """Make the same context from a tar stream of the copied code (entries ``./path``).

        The stream is read to its end at once, into a temporary file without a name: an archive's
        order is not ours, and ``.dockerignore`` may come last.

        Raises
        ------
        errors.EngineFailed
            The stream is not a whole tar archive.
        """
        made = cls.__new__(cls)
        made._prepare(
            _Archive(source() if callable(source) else source),
            dockerfile,
            extra,
            buildkit,
            everything,
        )
        return made

    def _prepare(
        self,
        source: _Source,
        dockerfile: bytes,
        extra: Mapping[str, bytes] | None,
        buildkit: bool,
        everything: bool,
    ) -> None:
        self.digests: dict[str, str] = {}
        self.digest = ""
        self._source = source
        self._given = {**(extra or {}), "Dockerfile": dockerfile}
        self._reach = None if everything else Reach.of(parse(dockerfile))
        names = ["Dockerfile.dockerignore"] if buildkit else []
        for name in [*names, ".dockerignore"]:
            content = source.small_file(name)
            if content is not None:
                # Sent whatever it says itself, like the docker program does: the builder reads it.
                self._given.setdefault(name, content)
                break
        self._ignore = DockerIgnore(content or b"")
        if self._reach is not None and any(self._links_away(self._reach)):
            self._reach = None

    def _links_away(self, reach: Reach) -> Iterator[bool]:
        """Whether a source is, or leads through, a link: then its target is wanted as well."""
        for item in self._source.items(lambda path: reach.relation(path) == "above"):
            if item.kind == "link":
                yield reach.relation(item.path) in ("is", "above")

    def items(self) -> Iterator[Item]:
        """Yield what is sent besides the Dockerfile and the extra files, without reading it."""

        def enter(path: str) -> bool:
            return (
                not _never(path)
                and self._ignore.may_enter(path)
                and (self._reach is None or self._reach.relation(path) is not None)
            )

        for item in self._source.items(enter):
            if (
                item.kind != "special"
                and item.path not in self._given
                and (self._reach is None or self._reach.relation(item.path) in ("is", "below"))
                and not _never(item.path)
                and not self._ignore.ignores(item.path)
                and not _holds_secret(item)
            ):
                yield item

    def chunks(self) -> Iterator[bytes]:
        """Yield the context as an uncompressed tar; may be called again.

        A file that shrinks while it is read is filled up with zeros, one that grows is cut, so that
        the archive stays whole; the comparison of `digests` finds it.

        Raises
        ------
        errors.FileUnreadable
            A file that the build needs can't be read.
        """
        self.digests = {}
        self.digest = ""
        whole = blake3()
        for path, given in sorted(self._given.items()):
            self.digests[path] = blake3(given).hexdigest()
            whole.update(_record(path, "file", self.digests[path]))
            yield _header(path, tarfile.REGTYPE, 0o644, size=len(given))
            yield given + _padding(len(given))
        for item in self.items():
            mode = 0o755 if item.executable or item.kind == "folder" else 0o644
            if item.kind == "folder":
                whole.update(_record(item.path, "folder", ""))
                yield _header(item.path + "/", tarfile.DIRTYPE, mode)
            elif item.kind == "link":
                whole.update(_record(item.path, "link", item.target))
                yield _header(item.path, tarfile.SYMTYPE, 0o777, target=item.target)
            else:
                content = item.open()
                if content is None:
                    continue
                with closing(content):
                    yield _header(item.path, tarfile.REGTYPE, mode, size=content.size)
                    hasher = blake3()
                    left = content.size
                    while left:
                        piece = content.read(min(left, CHUNK)) or bytes(min(left, CHUNK))
                        hasher.update(piece)
                        left -= len(piece)
                        yield piece
                yield _padding(content.size)
                self.digests[item.path] = hasher.hexdigest()
                kind = "program" if item.executable else "file"
                whole.update(_record(item.path, kind, self.digests[item.path]))
        yield bytes(2 * tarfile.BLOCKSIZE)
        self.digest = whole.hexdigest()


def _never(path: str) -> bool:
    """Whether a path stays out; its folders were asked about before."""
    return path.rpartition("/")[2] == ".git" or reason_to_stay(path) is not None


def _holds_secret(item: Item) -> bool:
    """Whether a file that may be harmless holds a token."""
    if item.kind != "file" or not content_matters(item.path):
        return False
    content = item.open()
    if content is None:
        return True
    with closing(content):
        return reason_in_content(item.path, content.read(MAX_LOOK)) is not None


def _record(path: str, kind: str, content: str) -> bytes:
    parts = [os.fsencode(part) for part in (path, kind, content)]
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def _header(path: str, kind: bytes, mode: int, *, size: int = 0, target: str = "") -> bytes:
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.size, info.linkname, info.mtime = kind, mode, size, target, TIME
    # GNU's format holds any bytes as a name; pax would need them to be UTF-8.
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


# --------------------------------------------------------------------------- sources


class _Folder:
    """The files as they are now."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def small_file(self, name: str, limit: int = MAX_IGNORE) -> bytes | None:
        return read_regular(self._root, name, limit)

    def items(self, enter: Callable[[str], bool]) -> Iterator[Item]:
        for entry in walk(self._root, enter=enter, unreadable=self._unreadable):
            target = ""
            name = entry.path.rpartition("/")[2]
            if entry.kind == "link":
                try:
                    target = os.readlink(name, dir_fd=entry.parent)
                except OSError:
                    continue

            def opened(
                name: str = name, parent: int = entry.parent, path: str = entry.path
            ) -> Content | None:
                return self._open(name, parent, path)

            executable = entry.kind == "file" and bool(entry.mode & 0o111)
            yield Item(entry.path, entry.kind, executable, entry.size, target, opened)

    def _open(self, name: str, parent: int, path: str) -> Content | None:
        try:
            descriptor = os.open(
                name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent
            )
        except PermissionError:
            self._unreadable(path)
        except OSError:
            return None  # gone, or another thing than a moment ago
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            os.close(descriptor)
            return None
        return OpenFile(descriptor, info.st_size)

    def _unreadable(self, path: str) -> None:
        raise errors.FileUnreadable(count=1, path=str(self._root), first=readable(path))


class _Commit:
    """The files of a git commit, from the project's own repository."""

    def __init__(self, root: Path, commit: str) -> None:
        repository = open_own(root)
        try:
            if repository is None:
                raise KeyError(commit)
            self._tree = repository[commit].peel(pygit2.Tree)
        except (KeyError, ValueError, pygit2.GitError):
            raise errors.NoSuchVersion(version=commit) from None
        self._repository = repository

    def small_file(self, name: str, limit: int = MAX_IGNORE) -> bytes | None:
        try:
            found = self._tree[name]
        except KeyError:
            return None
        if found.filemode not in (FileMode.BLOB, FileMode.BLOB_EXECUTABLE):
            return None
        kind, size = self._header(found.id)
        if kind != ObjectType.BLOB or size > limit:
            return None
        return bytes(self._repository[found.id].peel(pygit2.Blob).data)

    def items(self, enter: Callable[[str], bool]) -> Iterator[Item]:
        stack = [("", self._sorted(self._tree))]
        while stack:
            prefix, entries = stack[-1]
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
                yield Item(path, "folder", False, 0, "", lambda: None)
                if enter(path) and len(stack) < 500:
                    below = self._repository[entry.id].peel(pygit2.Tree)
                    stack.append((path + "/", self._sorted(below)))
            elif mode == FileMode.LINK:
                target = os.fsdecode(self._repository[entry.id].peel(pygit2.Blob).data)
                yield Item(path, "link", False, 0, target, lambda: None)
            elif mode in (FileMode.BLOB, FileMode.BLOB_EXECUTABLE):
                size = self._header(entry.id)[1]

                def opened(oid: pygit2.Oid = entry.id) -> Content:
                    return _Blob(self._repository[oid].peel(pygit2.Blob).data)

                yield Item(path, "file", mode == FileMode.BLOB_EXECUTABLE, size, "", opened)

    def _header(self, oid: pygit2.Oid) -> tuple[int, int]:
        if not hasattr(self._repository.odb, "read_header"):
            # pygit2 for Python 3.10 is older: it must read the object to know its size.
            found = self._repository[oid]
            return found.type, len(found.read_raw())
        kind, size = self._repository.odb.read_header(oid)
        return kind, size

    @staticmethod
    def _sorted(tree: pygit2.Tree) -> Iterator[pygit2.Object]:
        return iter(sorted(tree, key=lambda entry: entry.raw_name or b""))


@dataclass(frozen=True, slots=True)
class _Kept:
    kind: Kind
    executable: bool
    offset: int
    size: int
    target: str


class _Archive:
    """The files of a tar stream, kept in a temporary file without a name."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._file: IO[bytes] = TemporaryFile()  # noqa: SIM115 - lives as long as the context
        weakref.finalize(self, self._file.close)
        self._kept: dict[str, _Kept] = {}
        try:
            stream = _Stream(chunks)
            with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|") as archive:
                for member in archive:
                    self._keep(archive, member)
                    # It would keep every header; here the stream is read once and forward only.
                    archive.__dict__["members"] = []
                # tarfile takes the end of the stream for the end of the archive.
                if stream.total < archive.offset + tarfile.BLOCKSIZE:
                    raise tarfile.ReadError("it ends early")
        except (tarfile.TarError, EOFError) as error:
            raise errors.EngineFailed(action="read the copied code", reason=str(error)) from None

    def _keep(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = _inner(member.name)
        if not path:
            return
        for index, char in enumerate(path):
            if char == "/":  # a folder that the archive does not name
                self._kept.setdefault(path[:index], _Kept("folder", False, 0, 0, ""))
        executable = bool(member.mode & 0o111)
        if member.isdir():
            self._kept[path] = _Kept("folder", False, 0, 0, "")
        elif member.issym():
            self._kept[path] = _Kept("link", False, 0, 0, member.linkname)
        elif member.islnk():
            first = self._kept.get(_inner(member.linkname) or "")
            if first is not None:
                self._kept[path] = first
        elif member.isreg():
            content = archive.extractfile(member)
            offset = self._file.seek(0, os.SEEK_END)
            while content is not None and (chunk := content.read(CHUNK)):
                self._file.write(chunk)
            size = self._file.tell() - offset
            if size != member.size:
                raise tarfile.ReadError("it ends early")
            self._kept[path] = _Kept("file", executable, offset, size, "")

    def small_file(self, name: str, limit: int = MAX_IGNORE) -> bytes | None:
        kept = self._kept.get(name)
        if kept is None or kept.kind != "file" or kept.size > limit:
            return None
        return _Slice(self._file, kept.offset, kept.size).read(kept.size)

    def items(self, enter: Callable[[str], bool]) -> Iterator[Item]:
        closed: str | None = None
        for path in sorted(self._kept, key=lambda path: os.fsencode(path).split(b"/")):
            if closed is not None and path.startswith(closed):
                continue
            kept = self._kept[path]

            def opened(kept: _Kept = kept) -> Content:
                return _Slice(self._file, kept.offset, kept.size)

            yield Item(path, kept.kind, kept.executable, kept.size, kept.target, opened)
            closed = f"{path}/" if kept.kind == "folder" and not enter(path) else None


def _inner(name: str) -> str | None:
    """A member's path below the archive's top; None for the top itself or one that leads out."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if ".." in parts or name.startswith("/") else "/".join(parts)


class _Stream:
    """Chunks as the file object that ``tarfile`` reads a stream from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self.total = 0

    def read(self, size: int) -> bytes:
        parts = [self._rest]
        have = len(self._rest)
        while have < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        self._rest = data[size:]
        self.total += min(size, len(data))
        return data[:size]


def commit_files(project: Path, commit: str, enter: Callable[[str], bool]) -> Iterator[Item]:
    """Yield everything in a commit of the project's own repository; ``enter`` as in `tree.walk`.

    Raises
    ------
    errors.NoSuchVersion
        There is no such commit.
    """
    return _Commit(project, commit).items(enter)


def commit_small_file(project: Path, commit: str, name: str, limit: int) -> bytes | None:
    """Return a file of a commit's top folder; None without it, or if it is no plain file.

    Raises
    ------
    errors.NoSuchVersion
        There is no such commit.
    """
    return _Commit(project, commit).small_file(name, limit)


class _Blob:
    """A git blob, which libgit2 holds in memory as a whole."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.size = len(data)
        self._at = 0

    def read(self, size: int) -> bytes:
        piece = bytes(self._data[self._at : self._at + size])
        self._at += len(piece)
        return piece

    def close(self) -> None:
        self._data.release()


class _Slice:
    """A part of a file that others read as well."""

    def __init__(self, file: IO[bytes], offset: int, size: int) -> None:
        self._file = file
        self._at = offset
        self._left = size
        self.size = size

    def read(self, size: int) -> bytes:
        self._file.seek(self._at)
        piece = self._file.read(min(size, self._left))
        self._at += len(piece)
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        """Leave the file open for the others."""
