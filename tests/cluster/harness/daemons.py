"""The cluster's own processes: how each is started is written down, so that a test can do it again."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steps import Stop, run

from . import cgroups
from .site import Site

# Joins the control groups first, so that nothing of it is ever elsewhere; ends up a child of init.
_START = """
group=$1 log=$2
shift 2
for joined in /sys/fs/cgroup/*/"$group"/cgroup.procs /sys/fs/cgroup/"$group"/cgroup.procs; do
    if [ -e "$joined" ]; then echo $$ > "$joined"; fi
done
cd /
setsid "$@" < /dev/null >> "$log" 2>&1 &
echo $!
"""
# What containerd, the kubelet and kube-proxy call.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def start(
    site: Site,
    name: str,
    command: Sequence[str | Path],
    *,
    group: str,
    inside: int | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Start a process of the cluster, note how, and return its id.

    Parameters
    ----------
    name
        Its own, such as ``node-1/kubelet``; its log is called after it.
    group
        Its control group, below the cluster's.
    inside
        A process whose network and mounts it shares.
    """
    enter = ["nsenter", "-t", str(inside), "-m", "-n"] if inside else []
    record = {
        "command": [*enter, *(str(word) for word in command)],
        "group": f"{site.cgroup}/{group}",
        "env": dict(env or {}),
    }
    return _launch(site, name, record)


def start_again(site: Site, name: str) -> int:
    """Start a process which was started before, in the same way."""
    return _launch(site, name, json.loads(_record(site, name).read_text()))


def _launch(site: Site, name: str, record: dict[str, Any]) -> int:
    log, path = log_of(site, name), _record(site, name)
    for folder in (log.parent, path.parent):
        folder.mkdir(parents=True, exist_ok=True)
    env = {"PATH": _PATH, "HOME": "/root", **record["env"]}
    # `env -i`: what is set in the shell of whoever starts the cluster is not the cluster's.
    clean = ["env", "-i", *(f"{key}={value}" for key, value in env.items())]
    said = run(["sh", "-ec", _START, "sh", record["group"], log, *clean, *record["command"]])
    # Renamed into place: others read it at any time.
    path.with_suffix(".new").write_text(json.dumps({**record, "pid": int(said)}, indent=1))
    path.with_suffix(".new").rename(path)
    return int(said)


def pid(site: Site, name: str) -> int | None:
    """Return the id of a process that runs; one that is another's by now is not the cluster's."""
    record = json.loads(_record(site, name).read_text())
    return record["pid"] if record["pid"] in cgroups.processes(record["group"]) else None


def pids(site: Site) -> dict[str, int | None]:
    """Return the ids of all, None for those that don't run."""
    folder = site.folder / "daemons"
    names = sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.json"))
    return {name: pid(site, name) for name in names}


def stop(site: Site, name: str, *, kill: bool = False, seconds: float = 20) -> None:
    """End a process, as asked (``SIGTERM``) or as a crash would (``SIGKILL``)."""
    found = pid(site, name)
    if found is None:
        return
    os.kill(found, signal.SIGKILL if kill else signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while pid(site, name) is not None:
        if time.monotonic() > deadline:
            raise Stop(f"{name} (process {found}) does not end.")
        time.sleep(0.02)


def last_words(site: Site, name: str, lines: int = 15) -> str:
    """Return the end of a process's log."""
    log = log_of(site, name)
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def log_of(site: Site, name: str) -> Path:
    return site.folder / "logs" / f"{name}.log"


def _record(site: Site, name: str) -> Path:
    return site.folder / "daemons" / f"{name}.json"
