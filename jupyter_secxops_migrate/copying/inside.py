"""Whether all that was copied can be seen, and used, from inside the environment, as its own user.

A perfect copy does not help if a VOLUME of the image lies over it, if a start-up script removed a part
of it, or if the image's user may not read it: only a look from inside tells. This runs there, in
whatever Python starts JupyterLab, so it uses the standard library alone and imports nothing of this
package. It reads paths from its input and never opens a file; what was written besides since the start
is of no interest.

    python inside.py ORDER < SIDE FILES

``ORDER`` is JSON: ``seconds`` after which it gives up, and ``volumes``, each with its ``mount``, the
``size`` in bytes of its metadata side file in the input, ``writes``, whether what its owner could
write at the source has to be writable, and ``own``, the mounts below that show the same volume.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

SAMPLE = 50
"""How many paths of each kind are named."""
LONGEST = 300
SIGN_SECONDS = 5
_KINDS = {"file": stat.S_ISREG, "directory": stat.S_ISDIR, "symlink": stat.S_ISLNK}
_OCTAL = re.compile(rb"\\([0-7]{3})")


class Found:
    """What was seen of one volume; ``covers`` are mounts that lie over some of its files."""

    def __init__(self) -> None:
        self.paths = 0
        self.covers: set[bytes] = set()
        self.counts = {"hidden": 0, "unreadable": 0, "unwritable": 0, "locked": 0}
        self.samples: dict[str, list[str]] = {kind: [] for kind in self.counts}

    def note(self, kind: str, path: bytes) -> None:
        """Count a path, and keep the first ones."""
        self.counts[kind] += 1
        if len(self.samples[kind]) < SAMPLE:
            self.samples[kind].append(path.decode("utf-8", "surrogateescape")[:LONGEST])

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        covers = sorted(cover.decode("utf-8", "surrogateescape") for cover in self.covers)
        return {
            "paths": self.paths,
            "covers": covers[:SAMPLE],
            **self.counts,
            "first": self.samples,
        }


def look(
    mount: bytes,
    lines: Iterator[bytes],
    mounts: Iterable[bytes],
    *,
    writes: bool,
    own: Iterable[bytes] = (),
) -> Found:
    """Look at each entry of a side file below ``mount``.

    ``mounts`` are all mount points there are; ``own`` are those that show the same volume.
    """
    found = Found()
    source = json.loads(next(lines))["owner"][0]
    there = set(mounts)
    # Without its own mount, the image's files are seen in its place.
    covers = {m for m in there if m.startswith(mount + b"/")} if mount in there else {mount}
    covers.difference_update(own)
    below = tuple(cover + b"/" for cover in covers)
    locked: list[bytes] = []
    told = time.monotonic()
    for line in lines:
        entry = json.loads(line)
        if entry["type"] not in _KINDS:
            continue
        found.paths += 1
        name = entry["path"].encode("utf-8", "surrogateescape")
        path = mount if name == b"." else mount + b"/" + name
        # A mount lies on a folder of ours that was made for it.
        if path.startswith(below) or (path in covers and entry["type"] != "directory"):
            found.covers.update(c for c in covers if path == c or path.startswith(c + b"/"))
            found.note("hidden", name)
        elif wrong := _wrong(path, entry, source, writes):
            if wrong == "locked" and entry["type"] == "directory":
                locked.append(path + b"/")
            # Of what a locked folder holds nothing can be known.
            if wrong == "unreadable" and path.startswith(tuple(locked)):
                wrong = "locked"
            found.note(wrong, name)
        if found.paths % 1024 == 0 and time.monotonic() - told > SIGN_SECONDS:
            told = time.monotonic()
            print(flush=True)  # a sign of life, or the connection would be given up
    return found


def _wrong(path: bytes, entry: dict[str, Any], source: int, writes: bool) -> str:
    """Return what is wrong with a path, an empty text if nothing is."""
    try:
        state = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "hidden"
    except PermissionError:
        return "unreadable"
    except OSError as error:
        # Nobody could use it by so long a path at the source either.
        return "" if error.errno == errno.ENAMETOOLONG else "unreadable"
    if not _KINDS[entry["type"]](state.st_mode):
        return "hidden"
    if entry["type"] == "symlink":
        return ""
    enter = os.X_OK if entry["type"] == "directory" else 0
    owners = entry.get("before", (entry.get("uid"),))[0] == source
    mode = int(entry.get("mode", "0600"), 8) if owners else 0
    if not os.access(path, os.R_OK | enter):
        # Its owner has no right by its mode either; only root reads it at the source.
        return (
            "locked"
            if owners and mode & (0o400 | enter * 0o100) != 0o400 | enter * 0o100
            else "unreadable"
        )
    if writes and mode & 0o200 and not os.access(path, os.W_OK | enter):
        return "unwritable"
    return ""


def mount_points(table: Iterable[bytes]) -> list[bytes]:
    """Return the mount points of a ``mountinfo`` (proc_pid_mountinfo(5))."""
    return [
        _OCTAL.sub(lambda code: bytes([int(code[1], 8)]), line.split(b" ")[4]) for line in table
    ]


def _lines(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the lines of the next ``size`` bytes."""
    while size > 0:
        line = file.readline()
        if not line:
            raise EOFError("the list of paths ended early")
        size -= len(line)
        yield line


def main() -> None:
    """Look at all volumes; print what was found as one line of JSON."""
    order = json.loads(sys.argv[-1])
    signal.alarm(order["seconds"])
    with open("/proc/self/mountinfo", "rb") as table:
        mounts = mount_points(table)
    found = []
    for volume in order["volumes"]:
        mount = volume["mount"].encode("utf-8", "surrogateescape")
        lines = _lines(sys.stdin.buffer, volume["size"])
        own = [path.encode("utf-8", "surrogateescape") for path in volume["own"]]
        found.append(look(mount, lines, mounts, writes=volume["writes"], own=own).as_dict())
    print(json.dumps({"uid": os.getuid(), "volumes": found}), flush=True)


if __name__ == "__main__":
    main()
