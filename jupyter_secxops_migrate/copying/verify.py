"""Does a directory still equal its manifest? Content read again, metadata compared, nothing written.

Goes through the directory and the side file side by side, both in the order of `walk`, so that what
is missing and what is there too many are found without holding either in memory. Runs as
``python -m jupyter_secxops_migrate.copying.verify DIRECTORY --manifest FILE``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from blake3 import blake3

from ..printable import counted, printable
from .account import Progress
from .content import Content
from .destination import FILE_SYSTEMS_OWN
from .entries import inode_key
from .errors import CopyFailed, VerifyFailed
from .manifest import (
    from_text,
    meta_path,
    read_manifest,
    read_meta,
    sort_key,
    xattrs_digest,
)
from .metadata import read_attributes
from .pool import BATCH_BYTES, BATCH_ENTRIES, LARGE, Pool, default_workers
from .report import Report, run
from .walk import READ, Descent, join, listing, open_root

__all__ = ["VerifyResult", "verify_tree"]

MOST_NAMED = 20


class VerifyResult(NamedTuple):
    """What was found equal; ``digest`` is the BLAKE3 (hex) of the manifest as it was read."""

    files: int
    bytes: int
    digest: str
    owner: tuple[int, int]


def verify_tree(
    directory: str | os.PathLike[str],
    *,
    manifest: str | os.PathLike[str],
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> VerifyResult:
    """Compare a directory with the manifest of its copy.

    Parameters
    ----------
    directory
        Folder; only read.
    manifest
        Its manifest, with the side file beside it.
    workers
        Processes; by default one for each CPU that we may use.
    progress
        Called up to five times a second.

    Raises
    ------
    VerifyFailed
        With the number of differences; ``params["differences"]`` names the first twenty, each with
        what is wrong with it.
    CopyFailed
        Directory or manifest can't be read.
    """
    try:
        with contextlib.ExitStack() as stack:
            check = _Verify(os.fspath(directory), stack, progress)
            return check.run(os.fspath(manifest), workers or default_workers())
    except (OSError, ValueError) as error:
        raise CopyFailed(
            path=os.fspath(directory), reason=f"it can't be checked ({error})"
        ) from error


class _Hashing:
    """The manifest's lines, and the digest of what was read of them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hasher = blake3()

    def __iter__(self) -> Iterator[bytes]:
        for line in self._file:
            self._hasher.update(line)
            yield line

    def hexdigest(self) -> str:
        return self._hasher.hexdigest()


class _Checker:
    """Compares files, in a process of its own."""

    def __init__(self, root: int, send: Callable[[Any], None]) -> None:
        self._descent, self._send = Descent(root), send
        self._content = Content(tick=self._tick)
        self._ticked = time.monotonic()

    def work(self, batch: Any) -> None:
        files = size = 0
        for folder, entries in batch:
            try:
                descriptor = self._descent.to(folder)
            except OSError as error:
                for name, *_ in entries:
                    self._send(("differs", join(folder, name), os.strerror(error.errno or 0)))
                continue
            for name, digest, expected in entries:
                wrong = self._wrong(descriptor, name, digest, expected)
                if wrong:
                    self._send(("differs", join(folder, name), wrong))
                files += 1
                size += expected["size"]
        self._send(("done", files, size))

    def _wrong(self, folder: int, name: bytes, digest: str, expected: dict[str, Any]) -> str:
        try:
            descriptor = os.open(name, READ, dir_fd=folder)
        except OSError as error:
            return os.strerror(error.errno or 0)
        try:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                return "type"
            wrong = metadata_differences(state, expected, descriptor)
            if state.st_size != expected["size"]:
                wrong.append("size")
            else:
                sparse = state.st_blocks * 512 < state.st_size
                if self._content.digest(descriptor, state.st_size, sparse) != digest:
                    wrong.append("content")
            return ", ".join(wrong)
        except OSError as error:
            return os.strerror(error.errno or 0)
        finally:
            os.close(descriptor)

    def _tick(self, _: int) -> None:
        now = time.monotonic()
        if now - self._ticked > 0.2:
            self._ticked = now
            self._send(("bytes",))


def metadata_differences(
    state: os.stat_result, expected: dict[str, Any], descriptor: int | None
) -> list[str]:
    """Name what differs between what is there and an entry of the side file."""
    wrong = []
    if "mode" in expected and f"{stat.S_IMODE(state.st_mode):04o}" != expected["mode"]:
        wrong.append("mode")
    if (state.st_uid, state.st_gid) != (expected.get("uid"), expected.get("gid")):
        wrong.append("owner")
    if state.st_mtime_ns != expected.get("mtime_ns"):
        wrong.append("time")
    if descriptor is not None:
        attributes = xattrs_digest(read_attributes(descriptor, lambda reason: None))
        if attributes != expected.get("xattrs"):
            wrong.append("attributes")
    return wrong


class _Verify:
    def __init__(
        self, where: str, stack: contextlib.ExitStack, progress: Callable[[Progress], None] | None
    ) -> None:
        self._where, self._progress, self._told = where, progress, 0.0
        self._root = open_root(where)
        stack.callback(os.close, self._root)
        self._descent = Descent(self._root)
        stack.callback(self._descent.close)
        self._stack = stack
        self._files = self._bytes = self._total_files = self._total_bytes = 0
        self._count = 0
        self._named: list[tuple[bytes, str]] = []
        self._segments: list[tuple[bytes, list[Any]]] = []
        self._batch_entries = self._batch_bytes = 0
        # Files with several names: inode → [first path, digest, names still to come].
        self._linked: dict[int, list[Any]] = {}

    def run(self, manifest: str, workers: int) -> VerifyResult:
        lines = _Hashing(self._stack.enter_context(open(manifest, "rb")))
        header, entries = read_meta(self._stack.enter_context(open(meta_path(manifest), "rb")))
        digests = read_manifest(lines)

        def start(_: int, send: Callable[[Any], None]) -> Callable[[Any], None]:
            return _Checker(self._root, send).work

        with Pool(workers, start, self._take) as pool:
            self._pool = pool
            for met, (entry, found) in enumerate(_side_by_side(entries, self._walk())):
                self._compare(entry, found, digests)
                if met % 64 == 0:
                    while pool.full:
                        pool.turn(0.2)
                        self._tell()
                    pool.turn(0)
                    self._tell()
            for path, _ in digests:
                self._differs(path, "only in the manifest")
            self._flush()
            for _ in pool.drain():
                self._tell()
        self._tell(last=True)
        if self._count:
            self._named.sort()
            raise VerifyFailed(
                count=self._count,
                path=self._where,
                first=printable(self._named[0][0]),
                node=os.uname().nodename,
                differences=[f"{printable(path)}: {wrong}" for path, wrong in self._named],
            )
        return VerifyResult(self._files, self._bytes, lines.hexdigest(), tuple(header["owner"]))

    def _walk(self) -> Iterator[tuple[bytes, bytes, os.stat_result]]:
        """Yield sort key, path and state of everything there, in the side file's order."""
        yield b"", b"", os.fstat(self._root)
        stack = [(b"", listing(self._root)[::-1])]
        while stack:
            folder, names = stack[-1]
            if not names:
                stack.pop()
                continue
            key = names.pop()
            if not folder and key == FILE_SYSTEMS_OWN + b"/":
                continue
            name = key.rstrip(b"/")
            path = join(folder, name)
            state = os.lstat(name, dir_fd=self._descent.to(folder))
            is_folder = stat.S_ISDIR(state.st_mode)
            yield sort_key(path, is_folder), path, state
            if is_folder:
                stack.append((path, listing(self._descent.to(path))[::-1]))

    def _compare(
        self,
        entry: dict[str, Any] | None,
        found: tuple[bytes, bytes, os.stat_result] | None,
        digests: Iterator[tuple[bytes, str]],
    ) -> None:
        digest = ""
        if entry is not None and entry["type"] == "file":
            path, digest = next(digests, (b"", ""))
            if path != from_text(entry["path"]):
                raise ValueError("manifest and metadata file do not belong together")
        if entry is None:
            assert found is not None
            self._differs(found[1], "is there and should not be")
            return
        path = from_text(entry["path"])
        if found is None:
            self._differs(path, "is missing")
            return
        _, path, state = found
        kind = entry["type"]
        if kind == "directory" and stat.S_ISDIR(state.st_mode):
            wrong = metadata_differences(state, entry, self._descent.to(path))
            if wrong:
                self._differs(path, ", ".join(wrong))
        elif kind == "symlink" and stat.S_ISLNK(state.st_mode):
            folder, _, name = path.rpartition(b"/")
            wrong = metadata_differences(state, entry, None)
            if os.readlink(name, dir_fd=self._descent.to(folder)) != from_text(entry["target"]):
                wrong.append("target")
            if wrong:
                self._differs(path, ", ".join(wrong))
        elif kind == "file" and stat.S_ISREG(state.st_mode):
            self._compare_file(entry, path, state, digest)
        else:
            self._differs(path, "type")

    def _compare_file(
        self, entry: dict[str, Any], path: bytes, state: os.stat_result, digest: str
    ) -> None:
        self._total_files += 1
        linked = self._linked.get(inode_key(state)) if state.st_nlink > 1 else None
        if linked is not None:
            self._files += 1
            if from_text(entry.get("link", "")) != linked[0]:
                self._differs(path, "is the same file as " + printable(linked[0]))
            elif digest != linked[1]:
                self._differs(path, "content")
            linked[2] -= 1
            if not linked[2]:
                del self._linked[inode_key(state)]
            return
        if "link" in entry:
            self._differs(
                path, "is no longer the same file as " + printable(from_text(entry["link"]))
            )
            return
        if state.st_nlink > 1:
            self._linked[inode_key(state)] = [path, digest, state.st_nlink - 1]
        self._total_bytes += entry["size"]
        folder, _, name = path.rpartition(b"/")
        if not self._segments or self._segments[-1][0] != folder:
            self._segments.append((folder, []))
            self._batch_bytes += len(folder)
        expected = {
            key: entry[key]
            for key in ("mode", "uid", "gid", "mtime_ns", "size", "xattrs")
            if key in entry
        }
        self._segments[-1][1].append((name, digest, expected))
        self._batch_entries += 1
        self._batch_bytes += entry["size"]
        if self._batch_entries >= BATCH_ENTRIES or self._batch_bytes >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._segments:
            self._pool.add(self._segments, urgent=self._batch_bytes >= LARGE)
        self._segments = []
        self._batch_entries = self._batch_bytes = 0

    def _take(self, message: Any) -> None:
        if message[0] == "done":
            self._files += message[1]
            self._bytes += message[2]
        elif message[0] == "differs":
            self._differs(message[1], message[2])

    def _differs(self, path: bytes, wrong: str) -> None:
        self._count += 1
        self._named.append((path, wrong))
        if len(self._named) > 2 * MOST_NAMED:
            self._named = sorted(self._named)[:MOST_NAMED]

    def _tell(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if self._progress is not None and (last or now - self._told >= 0.2):
            self._told = now
            self._progress(Progress(self._files, self._bytes, self._total_files, self._total_bytes))


def _side_by_side(
    entries: Iterator[dict[str, Any]], found: Iterator[tuple[bytes, bytes, os.stat_result]]
) -> Iterator[tuple[dict[str, Any] | None, tuple[bytes, bytes, os.stat_result] | None]]:
    """Pair what should be there with what is, both in the order of their keys."""
    there = next(found, None)
    for entry in entries:
        if entry["type"] in ("skipped", "changed"):
            continue
        key = sort_key(from_text(entry["path"]), entry["type"] == "directory")
        while there is not None and there[0] < key:
            yield None, there
            there = next(found, None)
        if there is not None and there[0] == key:
            yield entry, there
            there = next(found, None)
        else:
            yield entry, None
    while there is not None:
        yield None, there
        there = next(found, None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m jupyter_secxops_migrate.copying.verify",
        description="Compare a folder with the manifest of its copy.",
    )
    parser.add_argument("directory", metavar="DIRECTORY")
    parser.add_argument("--manifest", required=True, metavar="FILE")
    parser.add_argument("--workers", type=int, metavar="N")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(arguments)

    def work(report: Report) -> None:
        result = verify_tree(
            given.directory,
            manifest=given.manifest,
            workers=given.workers,
            progress=lambda now: report.progress(*now),
        )
        report.result(
            f"{counted(result.files, 'file', 'files')}, {counted(result.bytes, 'byte', 'bytes')} equal; manifest {result.digest}",
            **result._asdict(),
            skipped=[],
        )

    return run(given.as_json, work)


if __name__ == "__main__":
    sys.exit(main())
