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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePath
from tempfile import TemporaryFile
from typing import IO, Protocol, cast

from blake3 import blake3

from .. import errors
from ..copying import git
from ..copying.credentials import Selection
from ..copying.errors import FileUnreadable
from ..project.commit import Blob, CommitFiles
from ..project.items import MAX_IGNORE, Content, Item, not_plain, too_large
from ..project.tree import (
    Kind,
    OpenFile,
    open_folder,
    read_regular,
    readable,
    walk,
)
from .dockerfile import parse
from .ignore import DockerIgnore, Reach

CHUNK = 256 * 1024

SENT_AS = "Dockerfile"
"""What builders get the Dockerfile as, whatever it is called in the project."""

TIME = 946684800
"""The time of every entry, seconds since the epoch: 2000-01-01. Not 0: zip files, and so Python
wheels built in the image, can't hold times before 1980."""


class _Source(Protocol):
    """Where files come from: a folder, a commit, or a tar stream."""

    def small_file(self, name: str, limit: int = MAX_IGNORE) -> bytes | None:
        """Return a file, None without it.

        Raises
        ------
        BadDockerfile
            It has more bytes than ``limit``, is a link or no file that can be read, or a link leads to it.
        """
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
        The Dockerfile's bytes; they are sent as `SENT_AS` whatever the project holds there.
    commit
        Full id of a local git commit whose files to send instead of the folder's.
    extra
        Files to add: path to content.
    identity
        Which folder ``project`` has to be each time that it is read (`copying.identity`); of a commit,
        its id says enough.
    buildkit
        The builder is BuildKit: a ``Dockerfile.dockerignore`` beside the Dockerfile goes before
        ``.dockerignore``, and exceptions are found in every folder (`DockerIgnore`).
    everything
        Send all that ``.dockerignore`` leaves, not only what COPY and ADD can reach (a base image
        with ``ONBUILD COPY`` needs it).
    keep
        Paths that are sent although they may hold credentials (`Selection`).
    path
        Where in the project the Dockerfile is.

    Attributes
    ----------
    digests
        Path in the project to BLAKE3 hex digest of each file sent; complete once `chunks` is exhausted.
    digest
        BLAKE3 hex digest over everything sent, equal for equal contexts; likewise.

    Raises
    ------
    BadDockerfile
        The Dockerfile or ``.dockerignore`` can't be read as one.
    NoSuchVersion
        There is no such commit.
    SourceReplaced
        ``project`` is another folder now.
    """

    def __init__(
        self,
        project: Path,
        dockerfile: bytes,
        commit: str | None = None,
        extra: Mapping[str, bytes] | None = None,
        *,
        identity: str = "",
        buildkit: bool = False,
        everything: bool = False,
        keep: Iterable[str] = (),
        path: str = SENT_AS,
    ) -> None:
        source = _Folder(project, identity) if commit is None else CommitFiles(project, commit)
        self._prepare(source, dockerfile, extra, buildkit, everything, keep, path)

    @classmethod
    def from_tar(
        cls,
        source: Callable[[], Iterator[bytes]] | Iterator[bytes],
        dockerfile: bytes,
        extra: Mapping[str, bytes] | None = None,
        *,
        buildkit: bool = False,
        everything: bool = False,
        keep: Iterable[str] = (),
        path: str = SENT_AS,
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
            keep,
            path,
        )
        return made

    def _prepare(
        self,
        source: _Source,
        dockerfile: bytes,
        extra: Mapping[str, bytes] | None,
        buildkit: bool,
        everything: bool,
        keep: Iterable[str],
        path: str,
    ) -> None:
        self._selection = Selection(keep)
        self.digests: dict[str, str] = {}
        self.digest = ""
        self._source = source
        self._given = {**(extra or {}), SENT_AS: dockerfile}
        own, own_sent_as = f"{path}.dockerignore", f"{SENT_AS}.dockerignore"
        self._called = {SENT_AS: path, own_sent_as: own}
        # BuildKit would read it as this Dockerfile's; it is that of another one.
        self._withheld = own_sent_as if buildkit and own != own_sent_as else None
        self._reach = None if everything else Reach.of(parse(dockerfile))
        for name in [own, ".dockerignore"] if buildkit else [".dockerignore"]:
            content = source.small_file(name)
            if content is not None:
                # Sent whatever it says itself, like the docker program does: the builder reads it.
                self._given.setdefault(own_sent_as if name == own else name, content)
                break
        self._ignore = DockerIgnore(content or b"", buildkit=buildkit, name=name)
        if self._reach is not None and any(self._links_away(self._reach)):
            self._reach = None

    def _links_away(self, reach: Reach) -> Iterator[bool]:
        """Whether a source is, or leads through, a link: then its target is wanted as well."""
        for item in self._source.items(lambda path: reach.relation(path) == "above"):
            if item.kind == "link":
                yield reach.relation(item.path) in ("is", "above")

    def items(self) -> Iterator[Item]:
        """Yield what is sent besides the Dockerfile and the extra files, without reading it.

        What stays because of its content is among them; `chunks` leaves it out.
        """

        closed = ""

        def enter(path: str) -> bool:
            return (
                path != closed
                and self._ignore.may_enter(path)
                and (self._reach is None or self._reach.relation(path) is not None)
            )

        for item in self._source.items(enter):
            if self._stays(item):
                closed = item.path
            elif (
                item.kind != "special"
                and item.path not in self._given
                and item.path != self._withheld
                and (self._reach is None or self._reach.relation(item.path) in ("is", "below"))
                and not self._ignore.ignores(item.path)
            ):
                yield item

    def chunks(self) -> Iterator[bytes]:
        """Yield the context as an uncompressed tar; may be called again.

        A file that shrinks while it is read is filled up with zeros, one that grows is cut, so that
        the archive stays whole; the comparison of `digests` finds it.

        Raises
        ------
        FileUnreadable
            A file that the build needs can't be read.
        """
        self.digests = {}
        self.digest = ""
        whole = blake3()
        for path, given in sorted(self._given.items()):
            digest = self.digests[self._called.get(path, path)] = blake3(given).hexdigest()
            whole.update(_record(path, "file", digest))
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
                    start = self._start(item, content)
                    if start is None:
                        continue
                    if git.holds_credentials(item.where, item.name):
                        if content.size > git.EXAMINED_MOST:
                            continue
                        data = start + _read(content, content.size - len(start))
                        content = Blob(git.scrubbed(item.name, data))
                        start = b""
                    yield _header(item.path, tarfile.REGTYPE, mode, size=content.size)
                    hasher = blake3()
                    left = content.size
                    while left:
                        piece = start or content.read(min(left, CHUNK)) or bytes(min(left, CHUNK))
                        start = b""
                        hasher.update(piece)
                        left -= len(piece)
                        yield piece
                yield _padding(content.size)
                self.digests[item.path] = hasher.hexdigest()
                kind = "program" if item.executable else "file"
                whole.update(_record(item.path, kind, self.digests[item.path]))
        yield bytes(2 * tarfile.BLOCKSIZE)
        self.digest = whole.hexdigest()

    def _stays(self, item: Item) -> bool:
        """Whether an item stays out by its name; its folders were asked about before."""
        if item.name == git.GIT_FOLDER:
            return True
        path, folder = os.fsencode(item.path), item.kind == "folder"
        found = self._selection.by_name(path, item.name, folder=folder, hook=item.hook)
        return found is not None and not found.kept

    def _start(self, item: Item, content: Content) -> bytes | None:
        """Return the start of a file as far as it was read to judge it; None if it stays out."""
        path, name = os.fsencode(item.path), item.name
        most = min(self._selection.look(name, content.size), content.size)
        start = _read(content, most)
        found = self._selection.by_content(path, name, content.size, start) if start else None
        return None if found is not None and not found.kept else start


def _read(content: Content, size: int) -> bytes:
    """Return the next ``size`` bytes of a file, fewer if it ends."""
    data = bytearray()
    while len(data) < size and (piece := content.read(size - len(data))):
        data += piece
    return bytes(data)


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

    def __init__(self, root: Path, identity: str = "") -> None:
        self._root = root
        self._identity = identity

    def small_file(self, name: str, limit: int = MAX_IGNORE) -> bytes | None:
        with closing(OpenFile(open_folder(self._root, self._identity), 0)) as root:
            above = [folder for folder in PurePath(name).parents if folder.name]
            linked = any((root.path / folder).is_symlink() for folder in above)
            content = None if linked else read_regular(root.path, name, limit)
            there = os.path.lexists(root.path / name)
        if content is None:
            if there:
                raise not_plain(name)
        elif len(content) > limit:
            raise too_large(name, limit)
        return content

    def items(self, enter: Callable[[str], bool]) -> Iterator[Item]:
        passing = ""

        def entered(path: str) -> bool:
            return path != passing and enter(path)

        for entry in walk(
            self._root, enter=entered, unreadable=self._unreadable, identity=self._identity
        ):
            if entry.passing:
                passing = entry.path
                continue
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
            yield Item(
                entry.path, entry.kind, executable, entry.size, target, opened, where=entry.where
            )

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
        raise FileUnreadable(count=1, path=str(self._root), first=readable(path))


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
        if kept is None:
            return None
        if kept.kind != "file":
            raise not_plain(name)
        if kept.size > limit:
            raise too_large(name, limit)
        return _Slice(self._file, kept.offset, kept.size).read(kept.size)

    def items(self, enter: Callable[[str], bool]) -> Iterator[Item]:
        closed: str | None = None
        inside = {"": self._where("", None)}
        for path in sorted(self._kept, key=lambda path: os.fsencode(path).split(b"/")):
            if closed is not None and path.startswith(closed):
                continue
            kept = self._kept[path]

            def opened(kept: _Kept = kept) -> Content:
                return _Slice(self._file, kept.offset, kept.size)

            folder, _, name = path.rpartition("/")
            where = inside[folder]
            yield Item(
                path, kept.kind, kept.executable, kept.size, kept.target, opened, where=where
            )
            closed = f"{path}/" if kept.kind == "folder" and not enter(path) else None
            if kept.kind == "folder":
                inside[path] = self._where(f"{path}/", git.enters(where, os.fsencode(name)))

    def _where(self, above: str, where: bytes | None) -> bytes | None:
        """Return where in a git directory a folder is: ``where``, unless it is one itself."""
        found = [self._kept.get(above + name) for name in ("HEAD", "objects", "refs")]
        names = [
            os.fsencode(name) + b"/" * (kept.kind == "folder")
            for name, kept in zip(("HEAD", "objects", "refs"), found, strict=True)
            if kept is not None
        ]
        return b"" if git.is_git_directory(names) else where


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
