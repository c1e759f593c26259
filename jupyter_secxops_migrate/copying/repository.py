"""Whether the copy of a git repository has the objects that its refs, and they themselves, name.

Reads refs as text and objects by libgit2's object store alone: no configuration, no link and no filter of
the project has a say. Not a ``git fsck``: the newest ``MOST_OBJECTS`` are followed, no content is hashed
(the copy's manifest does that).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections import deque
from collections.abc import Iterator
from typing import Any

from .walk import READ, Descent, join, listing

__all__ = ["SUBMODULE", "is_passing", "lacks_objects", "object_store"]

MOST_OBJECTS = 50_000
MOST_BYTES = 64 << 20
_HEX = re.compile(rb"\b[0-9a-f]{40}\b")
_NAMED = re.compile(rb"^(?:tree|parent|object) ([0-9a-f]{40})$", re.MULTILINE)
_PASSING = re.compile(rb"tmp_.*|\.tmp-.*|incoming-.*")
_PSEUDO_REF = re.compile(rb"HEAD|[A-Z_]+_HEAD|packed-refs")
COMMIT, TREE, TAG = 1, 2, 4
SUBMODULE = 0o160000
"""The mode that an index or a tree gives a submodule."""


def is_passing(where: bytes, name: bytes) -> bool:
    """Say whether a file ``where`` in a git directory is only there while a git command is at work.

    No ref's name ends in ``.lock``, and no object's name begins like a temporary one.

    Examples
    --------
    >>> is_passing(b"", b"index.lock"), is_passing(b"refs/tags", b"v1.lock2")
    (True, False)
    """
    if where.split(b"/")[0] == b"objects":
        return name.endswith(b".lock") or _PASSING.fullmatch(name) is not None
    return name.endswith(b".lock")


def lacks_objects(made: int, source: int, top: bytes) -> bool:
    """Say whether a copied repository lacks an object that it needs and that its source has.

    What can't be read counts as lacking. False, too, where that can't be told: objects that are not SHA-1,
    that lie in another repository, or are reached by links.

    Parameters
    ----------
    made, source
        Descriptors of the roots of the copy and of its source.
    top
        The path of the git directory in both.
    """
    # A store opens its files by the descriptor's name, so each descent stays where it is.
    refs, copied, original = Descent(made), Descent(made), Descent(source)
    try:
        ours = _store_of_copy(copied, top)
        missing = _missing(ours, _tips(refs, top)) if ours is not None else []
        return bool(missing) and _has_any(original, top, missing)
    finally:
        for descent in (refs, copied, original):
            descent.close()


def _store_of_copy(descent: Descent, top: bytes) -> Any:
    """Open the copy's objects; an empty store where they can't be opened."""
    import pygit2

    try:
        return object_store(descent, top)
    except (pygit2.GitError, OSError):
        return pygit2.Odb()


def _has_any(descent: Descent, top: bytes, oids: list[str]) -> bool:
    """Say whether the source has one of these objects; False where it can't be told any more."""
    import pygit2

    try:
        store = object_store(descent, top)
    except (pygit2.GitError, OSError):
        return False
    return store is not None and any(_read(store, oid) is not None for oid in oids)


def _read(store: Any, oid: str) -> tuple[int, bytes] | None:
    """Return an object's kind and content, nothing of a blob's; None if it can't be read."""
    import pygit2

    try:
        if hasattr(store, "read_header"):
            kind, _ = store.read_header(oid)
            if int(kind) not in (COMMIT, TREE, TAG):
                return int(kind), b""
        kind, data = store.read(oid)
    except (pygit2.GitError, KeyError):
        return None
    return int(kind), bytes(data)


def object_store(descent: Descent, top: bytes) -> Any:
    """Open the objects of a repository; None where more than files and folders of its own are there."""
    import pygit2

    objects = join(top, b"objects")
    for folder in (b"", *(name for name in listing(descent.to(objects)) if name.endswith(b"/"))):
        with os.scandir(descent.to(objects + b"/" + folder[:-1] if folder else objects)) as entries:
            if any(entry.name == "alternates" or not _is_plain(entry) for entry in entries):
                return None
    return pygit2.Odb(f"/proc/self/fd/{descent.to(objects)}")


def _is_plain(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)


def _tips(descent: Descent, top: bytes) -> list[str]:
    """Return the ids that refs hold, and those that the index does."""
    import pygit2

    found: dict[str, None] = {}
    for text in _refs(descent, top):
        for line in text.splitlines():
            match = None if line.startswith(b"#") else _HEX.search(line)
            if match:
                found[match[0].decode()] = None
    folder = descent.to(top)
    with contextlib.suppress(OSError, pygit2.GitError):
        os.close(os.open(b"index", READ, dir_fd=folder))
        for entry in pygit2.Index(f"/proc/self/fd/{folder}/index"):
            if int(entry.mode) != SUBMODULE:
                found[str(entry.id)] = None
    return list(found)


def _refs(descent: Descent, top: bytes) -> Iterator[bytes]:
    waiting = [top]
    while waiting:
        path = waiting.pop()
        folder = descent.to(path)
        for name in listing(folder):
            inside = path[len(join(top, b"")) :].split(b"/")
            if name.endswith(b"/"):
                if inside != [b""] or name in (b"refs/", b"worktrees/"):
                    waiting.append(join(path, name[:-1]))
            elif b"refs" in inside or _PSEUDO_REF.fullmatch(name):
                yield _text(name, path, descent)


def _text(name: bytes, path: bytes, descent: Descent) -> bytes:
    try:
        descriptor = os.open(name, READ, dir_fd=descent.to(path))
    except OSError:
        return b""
    try:
        state = os.fstat(descriptor)
        return os.read(descriptor, MOST_BYTES) if stat.S_ISREG(state.st_mode) else b""
    finally:
        os.close(descriptor)


def _missing(store: Any, tips: list[str]) -> list[str]:
    """Return ids that are not in a store, of ``tips`` and what they name, in the order of distance."""
    missing: list[str] = []
    met = set(tips)
    waiting = deque(tips)
    while waiting and len(met) < MOST_OBJECTS:
        oid = waiting.popleft()
        found = _read(store, oid)
        if found is None:
            missing.append(oid)
            continue
        # A crafted tree may be none that can be read to its end.
        with contextlib.suppress(ValueError):
            for name in _named(*found):
                if name not in met:
                    met.add(name)
                    waiting.append(name)
    return missing + [oid for oid in waiting if oid not in store]


def _named(kind: int, data: bytes) -> Iterator[str]:
    if kind in (COMMIT, TAG):
        head = data.partition(b"\n\n")[0]
        yield from (match.decode() for match in _NAMED.findall(head))
    elif kind == TREE:
        at = 0
        while at < len(data):
            end = data.index(b"\0", at)
            if int(data[at : data.index(b" ", at)], 8) != SUBMODULE:
                yield data[end + 1 : end + 21].hex()
            at = end + 21
