"""Symbolic links that lead out of the folder that is copied.

A copy has every link as it is, so one whose way leaves the folder works there only if what it leads to
is mounted where the link looks for it. Whether it is, the plan judges, which knows the mounts; here is
only found which way links take. Nothing is opened: links are read, names are looked up.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from .system import in_image
from .tree import MAX_PATHS, readable

MAX_LINKS = 40
"""Links that may lead to each other, as the kernel allows."""

MAX_GROUPS = 200


@dataclass(frozen=True)
class LinksOut:
    """Links of one folder that lead to the same place outside, or into it where there are very many.

    ``root`` is the folder. ``way`` is where the links look: a folder, absolute or relative to ``root``
    and beginning with ``..``. ``target`` is that folder at the source, without links. ``count`` is of
    all links, ``paths`` has at most 50, relative to ``root``. ``whole`` says that they lead to the
    folder itself, not to what lies in it.
    """

    root: str
    way: str
    target: str
    count: int
    paths: tuple[str, ...]
    whole: bool


def way_out(root: str, path: str, target: str) -> str | None:
    """Return where a link's way leaves ``root``: absolute, or beginning with ``..``; None if it does not.

    ``path`` is the link, relative to ``root``; its folders are no links. ``target`` is what it says.
    """
    if target.startswith("/"):
        return posixpath.normpath(target)
    here = path.split("/")[:-1]
    todo = target.split("/")[::-1]
    for _ in range(MAX_LINKS):
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if not here:
                    return posixpath.normpath("/".join(["..", *reversed(todo)]))
                here.pop()
                continue
            here.append(name)
            try:
                further = str(Path(root, *here).readlink())
            except (OSError, ValueError):
                continue  # no link, or nothing
            here.pop()
            if further.startswith("/"):
                return posixpath.normpath("/".join([further, *reversed(todo)]))
            todo += further.split("/")[::-1]
            break
        else:
            return None
    return None


class Links:
    """Gathers the links that lead out of folders."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], LinksOut] = {}
        self._last: dict[str, tuple[str, str, str]] = {}

    def meet(self, root: str, path: str, target: str) -> None:
        """Take note of a link, if it leads out of ``root`` to something that is there."""
        way = way_out(root, path, target)
        if way is None or in_image(way):
            return
        real = os.path.realpath(posixpath.join(root, posixpath.dirname(path), target))
        if not os.path.lexists(real) or in_image(real):
            return  # it is broken here already, or leads to the system's own
        whole = Path(real).is_dir()
        if not whole:
            way, real = posixpath.dirname(way) or "..", posixpath.dirname(real)
        way, real = readable(way), readable(real)
        key = (root, way, real)
        if key not in self._found and len(self._found) >= MAX_GROUPS:
            # Of many folders the one above is told, and of many of these one stands for all.
            way, real, whole = posixpath.normpath(f"{way}/.."), posixpath.dirname(real), False
            key = (root, way, real)
            if key not in self._found and len(self._found) >= 2 * MAX_GROUPS:
                key = self._last.setdefault(root, key)
        known = self._found.get(key)
        if known is None:
            self._found[key] = LinksOut(root, way, real, 1, (readable(path),), whole)
            return
        paths = (*known.paths, readable(path)) if len(known.paths) < MAX_PATHS else known.paths
        self._found[key] = replace(
            known, count=known.count + 1, paths=paths, whole=known.whole and whole
        )

    def rows(self) -> Iterable[LinksOut]:
        """Return what was found."""
        return tuple(self._found.values())
