"""What a Docker host has, and what is left of it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import docker

from ...model import NodeCapacity
from .place import limits_of


def capacity_of(api: docker.APIClient) -> NodeCapacity:
    """Observe the host: what it has, what the limits of running containers ask of it (blocking)."""
    info = api.info()
    cpu = memory = 0.0
    gpu = 0
    for row in api.containers():
        with contextlib.suppress(docker.errors.NotFound):
            limits = limits_of(api.inspect_container(row["Id"]))
            cpu += limits[0] or 0
            memory += limits[1] or 0
            gpu += limits[2]
    disk = _disk(info["DockerRootDir"])
    return NodeCapacity(
        node=str(info.get("Name") or "docker"),
        cpu=info["NCPU"],
        cpu_requested=cpu,
        memory=info["MemTotal"],
        memory_requested=int(memory),
        memory_available=_memory_available(info["MemTotal"]),
        disk=disk[0] if disk else None,
        disk_available=disk[1] if disk else None,
        gpu=_gpus() if "nvidia" in (info.get("Runtimes") or {}) else 0,
        gpu_requested=gpu,
    )


def _memory_available(total: int) -> int | None:
    """Return this machine's available memory in bytes, None if the engine is on another."""
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        here = int(rows["MemTotal"].split()[0]) * 1024
        available = int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    return available if abs(here - total) < 1024**2 else None


def _disk(root: str) -> tuple[int, int] | None:
    """Return the size and the free bytes of the engine's disk, None where it can't be seen."""
    try:
        found = os.statvfs(root)
    except OSError:
        return None
    return found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail


def _gpus() -> int:
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
