"""How much of a folder or of a commit travels, and what of it does not arrive or arrives changed.

Counted by the rules of the copy, without copying. Which folders there are, and how the build takes
them, others say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from ..copying import git
from ..copying.credentials import Found, Selection
from ..copying.reasons import REASONS, code_of
from ..copying.tally import Skipped, Tally, files_below
from ..copying.why import FILE_SYSTEMS, SCRUBBED
from ..model import NotCopiedItem
from ..printable import printable
from ..project.commit import CommitFiles
from ..project.items import Item
from ..project.links import Links
from ..project.owners import Others, OthersFiles
from ..project.tree import readable, walk
from .arrives import changes, is_transient, linked_as, why_left_out
from .notices import Notices

MAX_ROWS = 50
"""Names listed of what is not copied; all are counted."""

LACKS = {"lfs": "lfs_missing", "submodule": "submodule"}
"""What a commit names and the repository lacks: to the code of the reason."""


class Amount(NamedTuple):
    """Files, their bytes, how many of these take room on a disk, and how many files are transient."""

    files: int
    bytes: int
    disk: int
    transient: int


def _judge_item(selection: Selection, item: Item) -> Found | None:
    """Say why something of a commit stays, None if it travels."""
    path, name = os.fsencode(item.path), item.name
    found = selection.by_name(path, name, folder=item.kind == "folder", hook=item.hook)
    if found is not None or item.kind != "file":
        return found
    most = selection.look(name, item.size)
    content = item.open() if most else None
    if content is None:
        return None
    with closing(content):
        return selection.by_content(path, name, item.size, content.read(most))


def _is_scrubbed(item: Item) -> bool:
    """Say whether credentials will be removed from a commit's file."""
    content = item.open() if git.holds_credentials(item.where, item.name) else None
    if content is None:
        return False
    with closing(content):
        data = content.read(item.size)
    return git.scrubbed(item.name, data) != data


class Counting:
    """Counts files and bytes, and what does not arrive or arrives changed, as the copy will."""

    def __init__(self, progress: Callable[[int], None] | None) -> None:
        self._progress = progress
        self._seen = 0
        self._left_out, self._changed = Tally(MAX_ROWS), Tally(MAX_ROWS)
        self._kept = Tally(MAX_ROWS)
        self.may_be_kept: list[str] = []
        """Relative paths, left out."""
        self.choices: dict[str, str] = {}
        """By the name of a row, the path by which it can be kept, or is."""
        self.unreadable: list[str] = []
        self.links = Links()
        self.others: dict[str, OthersFiles] = {}
        self.notices = Notices()
        self._judge_access = os.geteuid() != 0

    def count(self, root: Path, elsewhere: frozenset[str], selection: Selection) -> Amount:
        """Count what travels of a folder; ``elsewhere`` are subfolders that travel on their own."""
        files = size = disk = transient = 0
        met: set[int] = set()
        info = root.stat()
        others = Others((info.st_uid, info.st_gid))

        closed = ""

        def enter(path: str) -> bool:
            # What is left out was counted as it was met.
            return path not in elsewhere and path != closed

        for entry in walk(root, enter=enter, unreadable=lambda path: self._unreadable(root, path)):
            if entry.path in elsewhere:
                continue
            if entry.passing:
                closed = entry.path
                continue
            self._tick()
            found = why_left_out(selection, entry)
            if found is not None and not found.kept:
                closed = entry.path
                below = (1, 0)
                if found.reason != FILE_SYSTEMS:
                    below = files_below(entry.parent, entry.name)
                self._leave_out(root, entry.path, found, *below)
                continue
            if found is not None:
                self._keep(root, entry.path, found, entry.size)
            others.meet(entry)
            with suppress(OSError):
                self.notices.meet_git(root, entry)
                self.notices.meet_paths(root, entry)
            if entry.kind == "link":
                with suppress(OSError):
                    target = os.readlink(entry.path.rpartition("/")[2], dir_fd=entry.parent)
                    self.links.meet(str(root), entry.path, target)
            if entry.kind != "file":
                continue
            self.notices.meet_file(entry.path)
            self.notices.meet_database(root, entry.path, entry.state.st_mtime)
            files += 1
            transient += is_transient(entry.path)
            linked = linked_as(selection, entry) if found is None else None
            if linked is not None:
                if linked in met:
                    continue  # another name of what was counted
                met.add(linked)
            size += entry.size
            # A sparse file takes as little there as here.
            disk += min(entry.size, entry.state.st_blocks * 512)
            for change in changes(entry):
                self._changed.add(Skipped(_shown(root, entry.path), change))
            if self._judge_access and not os.access(
                entry.path.rpartition("/")[2], os.R_OK, dir_fd=entry.parent, effective_ids=True
            ):
                self._unreadable(root, entry.path)
        if others.count:
            self.others[str(root)] = others.found()
        return Amount(files, size, disk, transient)

    def count_commit(
        self, root: Path, commit: str, elsewhere: frozenset[str], selection: Selection
    ) -> Amount:
        """Count what travels of a commit."""
        files = size = transient = 0
        closed = ""

        def enter(path: str) -> bool:
            return path not in elsewhere and path != closed

        files_of = CommitFiles(root, commit)
        for item in files_of.items(enter):
            self._lacking(root, item)
            if item.path in elsewhere:
                continue
            found = _judge_item(selection, item)
            if found is not None and not found.kept:
                closed = item.path
                self._leave_out(root, item.path, found, files_of.files_below(item))
                continue
            if found is not None:
                self._keep(root, item.path, found, item.size)
            if item.kind == "file":
                files += 1
                transient += is_transient(item.path)
                size += item.size
                self._tick()
                if _is_scrubbed(item):
                    self._changed.add(Skipped(_shown(root, item.path), SCRUBBED))
                if item.filtered:
                    self.notices.meet("filters_not_applied", item.path, str(root))
            elif item.kind == "link":
                self.links.meet(str(root), item.path, item.target)
        of_git = self._count_repository(root, files_of.stores, selection)
        of_both = size + of_git[1]
        return Amount(files + of_git[0], of_both, of_both, transient + of_git[0])

    def _lacking(self, root: Path, item: Item) -> None:
        """Take note of what a commit names and the repository does not have."""
        self.notices.meet_of_commit(item)
        if item.lacks:
            row = Skipped(_shown(root, item.path), REASONS[LACKS[item.lacks]])
            # Of a file in Git LFS the pointer arrives.
            (self._changed if item.kind == "file" else self._left_out).add(row)

    def _count_repository(
        self, root: Path, submodules: Sequence[str], selection: Selection
    ) -> tuple[int, int]:
        """Count git's own files beside a commit's: the state of the work tree is made anew."""
        heads = {".git", *submodules}
        files, size = 2 * len(heads) + len(submodules), 0  # HEAD, index; a submodule's .git

        closed = ""

        def travels(path: str) -> bool:
            whole = f".git/{path}"
            folder, _, name = whole.rstrip("/").rpartition("/")
            name += "/" * whole.endswith("/")
            return not (folder in heads and git.belongs_to_a_work_tree(os.fsencode(name)))

        def enter(path: str) -> bool:
            return path != closed and travels(path) and travels(path + "/")

        for entry in walk(root / ".git", enter=enter, where=b""):
            if entry.passing or not travels(entry.path):
                closed = entry.path
                continue
            whole, folder = os.fsencode(f".git/{entry.path}"), entry.kind == "folder"
            found = selection.by_name(whole, entry.name, folder=folder, hook=entry.hook)
            if found is not None and not found.kept:
                closed = entry.path
                below = files_below(entry.parent, entry.name)
                self._leave_out(root, os.fsdecode(whole), found, *below)
            elif entry.kind == "file":
                files += 1
                size += entry.size
        return files, size

    def left_out(self) -> list[NotCopiedItem]:
        """Return the rows of *Not copied*."""
        return [self._row(row) for row in self._left_out.rows()]

    def changed(self) -> list[NotCopiedItem]:
        """Return the rows of what will arrive otherwise than it is."""
        return [self._row(row) for row in self._changed.rows()]

    def kept(self) -> list[NotCopiedItem]:
        """Return the rows of what may hold credentials and is copied all the same."""
        return [self._row(row) for row in self._kept.rows()]

    def _leave_out(
        self, root: Path, path: str, found: Found, files: int = 1, size: int = 0
    ) -> None:
        name = _shown(root, path)
        if found.choice and len(self.choices) < 2 * MAX_ROWS:
            self.choices[name] = readable(str(root / path))
            self.may_be_kept.append(path)
        self._left_out.add(Skipped(name, found.reason, files, size))

    def _keep(self, root: Path, path: str, found: Found, size: int) -> None:
        name = _shown(root, path)
        self.choices[name] = readable(str(root / path))
        self._kept.add(Skipped(name, found.reason, 1, size))

    def _row(self, row: Skipped) -> NotCopiedItem:
        return NotCopiedItem(
            name=row.name,
            reason=row.reason,
            code=code_of(row.reason),
            files=row.files,
            bytes=row.bytes,
            keep=self.choices.get(row.name),
        )

    def _unreadable(self, root: Path, path: str) -> None:
        if len(self.unreadable) < MAX_ROWS:
            self.unreadable.append(readable(str(root / path)))

    def _tick(self) -> None:
        self._seen += 1
        if self._progress is not None and self._seen % 1000 == 0:
            self._progress(self._seen)


def _shown(root: Path, path: str) -> str:
    return printable(os.fsencode(f"{root.name}/{path}"))
