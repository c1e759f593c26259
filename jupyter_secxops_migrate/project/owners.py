"""What belongs to others than the folder that it lies in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .tree import MAX_PATHS, Entry, readable


@dataclass(frozen=True)
class OthersFiles:
    """Files and folders of one folder that belong to others than the folder itself.

    ``closed`` is how many of them the folder's owner may not both read and write. ``paths`` is a sample
    of at most 50, of those first. ``barred`` is how many paths the owner may not even read, with all
    that lies below a folder that he may not enter, whoever owns it.
    """

    count: int
    closed: int
    paths: Sequence[str]
    barred: int = 0


class Others:
    """Finds what belongs to others than ``owner``, uid and gid."""

    def __init__(self, owner: tuple[int, int]) -> None:
        self._uid, self._gid = owner
        self.count = 0
        self._closed = 0
        self._barred = 0
        self._below = ""
        """The last folder that the owner may not enter, with a slash."""
        self._paths: list[str] = []
        self._closed_paths: list[str] = []

    def meet(self, entry: Entry) -> None:
        """Take note of an entry; links have no rights of their own."""
        state = entry.state
        below = bool(self._below) and entry.path.startswith(self._below)
        self._barred += below
        if state.st_uid == self._uid or entry.kind in ("link", "special"):
            return
        self.count += 1
        wanted = 0o7 if entry.kind == "folder" else 0o6
        allowed = entry.mode >> (3 if state.st_gid == self._gid else 0)
        closed = allowed & wanted != wanted
        self._closed += closed
        if not below and allowed & wanted & 0o5 != wanted & 0o5:
            self._barred += 1
            if not allowed & 0o1 and entry.kind == "folder":
                self._below = f"{entry.path}/"
        paths = self._closed_paths if closed else self._paths
        if len(paths) < MAX_PATHS:
            paths.append(readable(entry.path))

    def found(self) -> OthersFiles:
        """Return what was found."""
        paths = [*self._closed_paths, *self._paths][:MAX_PATHS]
        return OthersFiles(self.count, self._closed, tuple(paths), self._barred)
