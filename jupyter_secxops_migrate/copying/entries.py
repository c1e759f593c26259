"""What the parent of a copy and its processes have in common: kinds of entries, and what all of them know."""

from __future__ import annotations

import os
from typing import NamedTuple

from .content import Writer
from .credentials import Selection, is_text

# Kinds of entries in a batch, and what is special about a file.
FILE, SYMLINK, LINE, LINK, BLOB = 0, 1, 2, 3, 4
PRIMARY, SCRUB, SQLITE, CHOSEN, GIT = 1, 2, 4, 8, 16


class Commit(NamedTuple):
    """What the entries of a commit get: ``owner`` (uid, gid) and time, nanoseconds."""

    owner: tuple[int, int]
    time: int


class Options(NamedTuple):
    """What all processes of a copy know.

    ``privileged`` keeps numeric owners; otherwise what is made belongs to ``maker`` (uid, gid).
    ``granularity`` is the unit in which the destination keeps times, nanoseconds. ``staging`` is a
    folder below the destination for what has to be made before it is copied. ``cloned`` is since when
    the destination is a clone of the source, nanoseconds; None where it began empty. ``selection`` says
    which files stay.
    """

    privileged: bool
    maker: tuple[int, int]
    granularity: int
    staging: bytes
    write: Writer = os.write
    commit: Commit | None = None
    cloned: int | None = None
    selection: Selection = Selection()

    def in_unit(self, nanoseconds: int) -> int:
        """Return a time as the destination keeps it."""
        return nanoseconds // self.granularity * self.granularity


def inode_key(state: os.stat_result) -> int:
    """Return one number that stands for a file, whatever its names are."""
    return state.st_dev << 64 | state.st_ino


def link_key(state: os.stat_result, name: bytes) -> int:
    """Return one number that stands for a file under all those of its names that are judged alike.

    Those of `Selection.by_itself` are not among them.
    """
    return inode_key(state) << 1 | is_text(name)
