"""Where this process runs, and what a Job must mount to see what it sees."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import docker

from ..errors import ContainerLayer
from ..orders import SourcePlace

_ID = re.compile(r"[0-9a-f]{64}")


def own_container(api: docker.APIClient) -> Mapping[str, Any] | None:
    """Return the container in which this process runs, as the engine inspects it (blocking).

    None on the host, or in a container of another engine. Docker does not tell a process its id:
    what looks like one is taken from the process's mounts, control groups and host name, and asked
    about.
    """
    for candidate in dict.fromkeys(_candidates()):
        with contextlib.suppress(docker.errors.NotFound):
            found: Mapping[str, Any] = api.inspect_container(candidate)
            if _is_us(found):
                return found
    return None


def is_neighbour(api: docker.APIClient) -> bool:
    """Whether this process runs in a container with a network of its own (blocking)."""
    own = own_container(api)
    return own is not None and own["HostConfig"]["NetworkMode"] != "host"


def _candidates() -> Iterator[str]:
    for name in ("/proc/self/mountinfo", "/proc/self/cgroup"):
        with contextlib.suppress(OSError):
            for line in Path(name).read_text(errors="replace").splitlines():
                if "docker" in line or "/etc/hostname" in line:
                    yield from _ID.findall(line)
    if Path("/.dockerenv").exists():
        yield socket.gethostname()


def _is_us(container: Mapping[str, Any]) -> bool:
    """Whether the container is the one we run in: it has our host name and runs."""
    if not container["State"]["Running"]:
        return False
    if container["HostConfig"]["NetworkMode"] == "host":
        return Path("/.dockerenv").exists()
    return bool(container["Config"]["Hostname"] == socket.gethostname())


def locate(container: Mapping[str, Any] | None, path: Path) -> SourcePlace:
    """Return what to mount for ``path``.

    Raises
    ------
    ContainerLayer
        The path lies on the container's own layer, or in memory.
    """
    if container is None:
        return SourcePlace("bind", os.fspath(path))
    best: Mapping[str, Any] | None = None
    for mount in container["Mounts"]:
        inside = PurePosixPath(mount["Destination"])
        if path.is_relative_to(inside) and (
            best is None or len(inside.parts) > len(PurePosixPath(best["Destination"]).parts)
        ):
            best = mount
    tmpfs = any(path.is_relative_to(t) for t in container["HostConfig"].get("Tmpfs") or {})
    if best is None or best["Type"] not in ("bind", "volume") or tmpfs:
        raise ContainerLayer(path=os.fspath(path), mounts=mounts_of(container) or ["none"])
    below = path.relative_to(best["Destination"]).as_posix()
    subpath = "" if below == "." else below
    covered = mounts_inside(path)
    if best["Type"] == "bind":
        there = PurePosixPath(best["Source"]) / subpath  # a path of the engine's host
        return SourcePlace("bind", os.fspath(there), "", os.fspath(path), covered)
    return SourcePlace("volume", best["Name"], subpath, os.fspath(path), covered)


def mounts_inside(folder: Path, table: Path = Path("/proc/self/mountinfo")) -> list[str]:
    """Return the relative paths in ``folder`` at which this process has other mounts.

    Asked of the kernel, which also knows what was mounted from within the container. A mount inside
    another one of the list is left out. ``table`` is laid out as proc_pid_mountinfo(5) says.
    """
    found: set[PurePosixPath] = set()
    for line in table.read_bytes().splitlines():
        point = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), line.split()[4])
        path = PurePosixPath(os.fsdecode(point))
        if path != PurePosixPath(folder) and path.is_relative_to(folder):
            found.add(path.relative_to(folder))
    return sorted(str(path) for path in found if found.isdisjoint(path.parents))


def mounts_of(container: Mapping[str, Any]) -> list[str]:
    """Return where the container has mounts that a Job can reach."""
    return sorted(m["Destination"] for m in container["Mounts"] if m["Type"] in ("bind", "volume"))


def limits_of(container: Mapping[str, Any]) -> tuple[float | None, int | None, int]:
    """Return the container's limits: cores, bytes of memory, GPUs."""
    host = container["HostConfig"]
    cpu: float | None = None
    if host.get("NanoCpus"):
        cpu = host["NanoCpus"] / 1e9
    elif host.get("CpuQuota") and host["CpuQuota"] > 0:
        cpu = host["CpuQuota"] / (host.get("CpuPeriod") or 100_000)
    return cpu, host.get("Memory") or None, gpus_of(host)


def gpus_of(host: Mapping[str, Any]) -> int:
    """Return how many GPUs a container's host configuration asks for (all of them counts as 1)."""
    count = 0
    for request in host.get("DeviceRequests") or ():
        if any("gpu" in group for group in request.get("Capabilities") or ()):
            asked = len(request.get("DeviceIDs") or ()) or int(request.get("Count") or 0)
            count += asked if asked > 0 else 1
    return count
