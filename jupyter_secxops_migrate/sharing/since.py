"""Whether a share's source has changed since it was copied.

Names, sizes and times of now are compared with those that the copies recorded: cheap, and only as far as
some seconds reach. Content is not read, so a file that changed without its time changing is not seen, and
one that was only written anew counts. What Git, Python and Jupyter keep for themselves is passed over, as
are files that a copy would leave out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..copying.credentials import Selection
from ..copying.manifest import from_text, meta_path, read_meta
from ..environment.arrives import why_left_out
from ..model import SourceChanges
from ..project.tree import Entry, readable, walk

__all__ = ["Before", "changes_since"]

MOST_ENTRIES = 200_000
SECONDS = 3.0
SHOWN = 5
OWN_FOLDERS = frozenset({b".git", b"__pycache__", b".ipynb_checkpoints"})
"""They change without anybody's doing: a look at the repository, an import, a save."""

_WRITTEN_OTHERWISE = frozenset({"scrubbed", "sqlite-backup"})
"""Flags of files whose size in the copy is not that at the source."""
_UNITS = (100, 1000, 10**6, 10**9, 2 * 10**9)
"""Nanoseconds in which file systems that keep no finer times keep theirs."""


@dataclass(frozen=True)
class Before:
    """A folder that was copied, and where it is written down what it was like.

    ``keep`` are relative paths that were copied though they may hold credentials, ``apart`` those that
    were copied as data of their own.
    """

    source: Path
    manifest: Path
    data: bool
    keep: Sequence[str] = ()
    apart: Sequence[str] = ()


class _Enough(Exception):
    """It would take longer than anybody waits."""


@dataclass
class _Look:
    """What was found, and how long there is to find more."""

    until: float
    left: int
    files: int = 0
    first: list[str] = field(default_factory=list)

    def tick(self) -> None:
        self.left -= 1
        if self.left < 0 or (self.left % 64 == 0 and time.monotonic() > self.until):
            raise _Enough

    def found(self, folder: Path, path: bytes) -> None:
        self.files += 1
        if len(self.first) < SHOWN:
            self.first.append(readable(f"{folder.name}/{os.fsdecode(path)}"))


def changes_since(
    folders: Sequence[Before], *, seconds: float = SECONDS, most: int = MOST_ENTRIES
) -> SourceChanges | None:
    """Look at all folders once more.

    Returns None where that can't be said: a folder or what was recorded of it can't be read, or nothing
    was found in the time that there was.

    Parameters
    ----------
    folders
        The copies of one share.
    seconds, most
        How long may be looked, and at how many entries, those of the record included.
    """
    look = _Look(time.monotonic() + seconds, most)
    try:
        for folder in folders:
            _compare(folder, look)
    except _Enough:
        if not look.files:
            return None
        return SourceChanges(files=look.files, first=look.first, complete=False)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return SourceChanges(files=look.files, first=look.first)


def _compare(folder: Before, look: _Look) -> None:
    known = _recorded(folder.manifest, look)
    selection = Selection(list(folder.keep), data=folder.data)
    closed = ""

    def enter(path: str) -> bool:
        name = os.fsencode(path)
        passed = _is_own(name) or known.get(name, _NEW).get("type") == "skipped"
        return not (passed or path == closed or path in folder.apart)

    for entry in walk(folder.source, enter=enter, unreadable=lambda _: None):
        look.tick()
        path = os.fsencode(entry.path)
        before = known.pop(path, _NEW)
        kind = before.get("type")
        if kind == "skipped" or entry.path in folder.apart:
            continue
        if entry.kind == "folder":
            if kind is None and why_left_out(selection, entry) is not None:
                closed = entry.path
            continue
        if kind is None:
            found = why_left_out(selection, entry)
            differs = found is None or found.kept
        else:
            differs = _differs(before, entry)
        if differs:
            look.found(folder.source, path)
    for path, before in known.items():
        if before["type"] in ("file", "symlink"):
            look.found(folder.source, path)


_NEW: dict[str, Any] = {}


def _recorded(manifest: Path, look: _Look) -> dict[bytes, dict[str, Any]]:
    """Return what the copy wrote down, by path, without what is passed over."""
    found: dict[bytes, dict[str, Any]] = {}
    with Path(meta_path(manifest)).open("rb") as file:
        for entry in read_meta(file)[1]:
            look.tick()
            path = from_text(entry["path"])
            if entry["type"] != "changed" and not any(
                part in OWN_FOLDERS for part in path.split(b"/")
            ):
                found[path] = entry
    return found


def _is_own(path: bytes) -> bool:
    return path.rpartition(b"/")[2] in OWN_FOLDERS


def _differs(before: dict[str, Any], entry: Entry) -> bool:
    if before["type"] == "symlink" or entry.kind == "link":
        if before["type"] != "symlink" or entry.kind != "link":
            return True
        name = os.fsencode(entry.path).rpartition(b"/")[2]
        return os.readlink(name, dir_fd=entry.parent) != from_text(before["target"])
    if before["type"] != "file" or entry.kind != "file":
        return True
    if "mtime_ns" not in before:
        return False  # a further name of a file that is looked at by its first
    if entry.size != before["size"] and not _WRITTEN_OTHERWISE & set(before.get("flags", ())):
        return True
    then, now = before["mtime_ns"], entry.state.st_mtime_ns
    return then != now and not any(now // unit * unit == then for unit in _UNITS)
