"""A second look at a tree that was copied, for what was moved meanwhile.

A folder is listed once. What is moved from one that comes later into one that was listed already is seen
in neither; so the times of all folders are compared with those that they had when they were listed, and
what came is copied, until nothing more comes. What is moved again and again is named.

A git repository that was at work is another matter: it need not hold still, but no ref may name an object
that did not come along. Of one whose folders changed, the refs are taken again, then all else that git
keeps about them, and after that the objects, which are never changed and were there before their refs.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from .content import TICK_NS
from .repository import lacks_objects
from .still import ATTEMPTS
from .walk import Descent, join, listing

__all__ = ["Folder", "SecondLook", "Seen", "seen"]

QUIET = 3
Seen = tuple[int, int, int]


class Folder(NamedTuple):
    """A folder of the source as it was listed.

    ``where`` is its place in a git directory (see `git.enters`). ``times`` is None where no folder of
    the source stands behind it.
    """

    path: bytes
    where: bytes | None
    times: Seen | None


class Copying(Protocol):
    """What the second look asks of the copy."""

    def folders(self) -> Iterator[Folder]:
        """Yield all folders that were listed, each before those in it."""
        ...

    def names(self, folder: Folder, descriptor: int) -> list[bytes]:
        """List a folder of the source, without what git has there only for a moment."""
        ...

    def keeps(self, path: bytes) -> bool:
        """Say whether it does not matter what the source has here: nothing travels, or something else."""
        ...

    def take_back(self, path: bytes) -> bool:
        """Remove a file from the copy, and what was said of it; False if it has to stay."""
        ...

    def descend(self, folder: Folder, names: list[bytes]) -> Iterator[None]:
        """Copy these names of a folder that is there already."""
        ...

    def settle(self) -> Iterator[None]:
        """Wait until all that was ordered is there."""
        ...

    def lost(self) -> list[bytes]:
        """Return, and forget, the files of repositories that were gone when they were to be copied."""
        ...


def seen(state: os.stat_result) -> Seen:
    """Return what tells whether a folder changed after it is listed."""
    # A further change within the same tick of the clock would not show.
    settled = abs(time.time_ns() - state.st_ctime_ns) > TICK_NS
    return state.st_mtime_ns, state.st_ctime_ns if settled else 0, state.st_ino


class SecondLook:
    """Looks again; ``changing`` names what did not hold still.

    Parameters
    ----------
    copy
        What was copied so far.
    source, made
        Descriptors of both roots.
    started
        When the copy began, nanoseconds: what is older was there all the time.
    unit
        In which the destination keeps times, nanoseconds.
    """

    def __init__(self, copy: Copying, source: int, made: int, started: int, unit: int) -> None:
        self.changing: list[bytes] = []
        self._copy, self._started, self._unit = copy, started, unit
        self._source, self._made = Descent(source), Descent(made)
        self._seen: dict[bytes, Seen] = {}
        self._whole: set[bytes] = set()

    def run(self) -> Iterator[None]:
        """Copy what is found, and look again; yields now and then."""
        pause = 0.05
        quiet = 0
        moved: dict[bytes, bytes] = {}
        for attempt in range(ATTEMPTS):
            self._source.close()
            self._made.close()
            plain, repositories = self._changed()
            self.changing = []
            if not plain and not repositories:
                return
            if attempt:
                time.sleep(pause)
                pause *= 2
            for folder in plain:
                yield from self._moved(folder)
            yield from self._copy.settle()
            moved.update((path.rpartition(b"/")[0], path) for path in self.changing)
            for top in repositories:
                yield from self._repository(top)
            quiet = 0 if self.changing else quiet + 1
            if quiet == QUIET and not moved:
                # What comes now is new; it need not be there.
                return
        # A file that is moved to and fro may have been elsewhere whenever its folders were listed.
        plain, _ = self._changed()
        self.changing += [moved[folder.path] for folder in plain if folder.path in moved]

    def _changed(self) -> tuple[list[Folder], list[bytes]]:
        """Return the folders that changed since they were listed, and the repositories that did."""
        plain: list[Folder] = []
        tops: list[bytes] = []
        changed: dict[bytes, None] = {}
        for folder in self._copy.folders():
            if folder.where == b"":
                tops.append(folder.path)
            if folder.times is None:
                continue
            now = self._times(folder.path)
            if now == self._seen.get(folder.path, folder.times):
                continue
            if folder.where is not None:
                changed[_top(folder)] = None
            elif now is not None:
                plain.append(folder)
        for path in self._copy.lost():
            around = [top for top in tops if path.startswith(join(top, b""))]
            if around:
                changed[max(around, key=len)] = None
        return plain, [top for top in changed if top not in self._whole]

    def _times(self, path: bytes) -> Seen | None:
        parent, _, name = path.rpartition(b"/")
        try:
            above = self._source.to(parent)
            state = os.lstat(name, dir_fd=above) if name else os.fstat(above)
        except OSError:
            return None
        if not stat.S_ISDIR(state.st_mode):
            return None
        return state.st_mtime_ns, state.st_ctime_ns, state.st_ino

    def _list(self, folder: Folder) -> tuple[int, list[bytes]]:
        """Open a folder of the source and list it, as it is now."""
        descriptor = self._source.to(folder.path)
        self._seen[folder.path] = seen(os.fstat(descriptor))
        return descriptor, self._copy.names(folder, descriptor)

    def _moved(self, folder: Folder) -> Iterator[None]:
        """Copy what came into a folder, and what took the place of another file."""
        try:
            descriptor, names = self._list(folder)
        except OSError:
            return  # it went away; the folder above changed too
        made = self._made.to(folder.path)
        here = set(listing(made))
        wanted = []
        for name in names:
            path = join(folder.path, name.rstrip(b"/"))
            known = name in here and not self._is_another(name, descriptor, made)
            if known or self._copy.keeps(path):
                continue
            if not self._copy.take_back(path):
                self.changing.append(path)
                continue
            wanted.append(name)
            if self._is_old(name, descriptor):
                self.changing.append(path)
        yield from self._copy.descend(folder, wanted)

    def _is_old(self, name: bytes, descriptor: int) -> bool:
        try:
            state = os.lstat(name.rstrip(b"/"), dir_fd=descriptor)
        except OSError:
            return False
        regular = stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)
        return regular and state.st_mtime_ns < self._started

    def _is_another(self, name: bytes, descriptor: int, made: int) -> bool:
        """Say whether an old file took the place of the one that was copied."""
        if name.endswith(b"/"):
            return False
        return self._is_old(name, descriptor) and self._differs(name, descriptor, made)

    def _differs(self, name: bytes, descriptor: int, made: int) -> bool:
        try:
            ours, theirs = os.lstat(name, dir_fd=made), os.lstat(name, dir_fd=descriptor)
        except OSError:
            return False
        return stat.S_ISREG(theirs.st_mode) and (
            ours.st_size != theirs.st_size
            or ours.st_mtime_ns // self._unit != theirs.st_mtime_ns // self._unit
        )

    # ------------------------------------------------------------------ repositories

    def _repository(self, top: bytes) -> Iterator[None]:
        """Take a repository's state again, and then its objects."""
        self._copy.lost()
        for part in (_is_ref, _is_state, _is_object):
            # In this order: git writes packed-refs before it removes the refs that are in it.
            for folder in [
                f for f in self._copy.folders() if f.where is not None and _top(f) == top
            ]:
                assert folder.where is not None
                if folder.times is not None and part(folder.where):
                    yield from self._taken_again(folder, keep=part is _is_object)
            yield from self._copy.settle()
        lost = self._copy.lost()
        if lost or lacks_objects(self._made.root, self._source.root, top):
            self.changing.append(lost[0] if lost else top)
        else:
            self._whole.add(top)

    def _taken_again(self, folder: Folder, *, keep: bool) -> Iterator[None]:
        """Make a folder of the copy what that of the source is now; ``keep`` only adds."""
        try:
            descriptor, names = self._list(folder)
        except OSError:
            descriptor, names = -1, []
        made = self._made.to(folder.path)
        here = listing(made)
        there = set(names)
        for name in here:
            path = join(folder.path, name)
            gone = name not in there and not self._copy.keeps(path)
            if not keep and not name.endswith(b"/") and gone:
                self._copy.take_back(path)
        wanted = []
        for name in names:
            if name not in here or (
                not keep and not name.endswith(b"/") and self._differs(name, descriptor, made)
            ):
                path = join(folder.path, name.rstrip(b"/"))
                if self._copy.keeps(path):
                    continue
                if self._copy.take_back(path):
                    wanted.append(name)
        yield from self._copy.descend(folder, wanted)


def _is_ref(where: bytes) -> bool:
    return b"refs" in where.split(b"/") and not _is_object(where)


def _is_object(where: bytes) -> bool:
    return where.split(b"/")[0] == b"objects"


def _is_state(where: bytes) -> bool:
    return not _is_ref(where) and not _is_object(where)


def _top(folder: Folder) -> bytes:
    """Return the git directory in which a folder lies."""
    return folder.path[: -len(folder.where) - 1] if folder.where else folder.path
