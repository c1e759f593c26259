"""Control groups of a cluster: what limits its pods, and how its processes are found at the end.

Nothing is ended here that is not in a group of the cluster: neither by name nor by number.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from steps import Stop

SECONDS_TO_END = 30


def make(group: str) -> None:
    """Make a group, and those above it, in every hierarchy."""
    for above in _hierarchies():
        for part in group.split("/"):
            folder = above / part
            folder.mkdir(exist_ok=True)
            _enable(above, folder)
            above = folder


def processes(group: str) -> set[int]:
    """Return the processes in a group and in the groups below it."""
    return {pid for folder in _folders(group) for pid in _in(folder)}


def find(group: str, name: str) -> Path | None:
    """Return the folder of a group of that name below a group, in one of the hierarchies."""
    for hierarchy in _hierarchies():
        for folder, folders, _ in os.walk(hierarchy / group):
            if name in folders:
                return Path(folder) / name
    return None


def inside(folder: Path) -> set[int]:
    """Return the processes in a group and in those below it, by its folder."""
    return {pid for name, _, _ in os.walk(folder) for pid in _in(Path(name))}


def end(group: str) -> None:
    """Kill all processes of a group, and take it and the groups below it away.

    Raises
    ------
    Stop
        A process did not go.
    """
    deadline = time.monotonic() + SECONDS_TO_END
    while left := processes(group):
        if time.monotonic() > deadline:
            raise Stop(f"These processes of {group} don't end: {sorted(left)}")
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)
    while folders := list(_folders(group)):
        for folder in reversed(folders):
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                # Busy for as long as its last process is being buried.
                if time.monotonic() > deadline:
                    raise Stop(f"The control group {folder} can't be removed.") from None
                time.sleep(0.05)


def exists(group: str) -> bool:
    """Say whether anything is left of a group."""
    return any((hierarchy / group).exists() for hierarchy in _hierarchies())


def _hierarchies() -> list[Path]:
    """Version 1 has a hierarchy for each controller, version 2 one for all; there may be both."""
    mounted = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = {Path(words[1]) for words in mounted if words[2] in ("cgroup", "cgroup2")}
    if not found:
        raise Stop("No control groups are mounted here (cgroupfs-mount mounts them).")
    return sorted(found)


def _enable(above: Path, folder: Path) -> None:
    """Give a new group what it can't do without."""
    # In version 1 it takes no process before it has processors and memory.
    for setting in ("cpuset.cpus", "cpuset.mems"):
        if (above / setting).exists() and not (above / "cgroup.controllers").exists():
            (folder / setting).write_text((above / setting).read_text())
    # In version 2 it has the controllers that the one above hands down.
    if (above / "cgroup.controllers").exists():
        for controller in (above / "cgroup.controllers").read_text().split():
            (above / "cgroup.subtree_control").write_text(f"+{controller}")


def _folders(group: str) -> Iterator[Path]:
    """The folders of a group, each before those in it."""
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / group):
            yield Path(folder)


def _in(folder: Path) -> list[int]:
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []
