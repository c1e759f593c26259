"""Get a Docker engine: the one that runs, else the distribution's, started.

``engine.py start`` uses what answers at ``DOCKER_HOST`` or the usual socket. Where nothing answers
it installs ``docker.io`` and starts it, as root only: by systemd where that runs, else ``dockerd``
by hand, whose process id is kept. ``engine.py stop`` ends a ``dockerd`` that this script started by
hand, and nothing else.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import background
from steps import CACHE, Stop, apt_install, is_root, need, run, say, step

SOCKET = "/var/run/docker.sock"
RECORD = CACHE / "engine" / "dockerd.json"
LOG = CACHE / "engine" / "dockerd.log"
PATIENCE = 60.0


class _Local(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def version() -> str | None:
    """Return the version of the engine that answers, None when none does.

    Raises
    ------
    Stop
        One is there and this account may not use it.
    """
    host = os.environ.get("DOCKER_HOST", f"unix://{SOCKET}")
    kind, _, address = host.partition("://")
    where: http.client.HTTPConnection
    if kind == "unix":
        where = _Local(address)
    else:
        name, _, port = address.partition(":")
        where = http.client.HTTPConnection(name, int(port or 2375), timeout=5)
    try:
        where.request("GET", "/version")
        answer = where.getresponse()
        return str(json.load(answer)["Version"]) if answer.status == 200 else None
    except PermissionError:
        raise Stop(
            f"A Docker engine is at {host}, but your account may not use it. Ask your admin to add "
            "you to the group docker (whoever is in it is root on this machine), or run as root."
        ) from None
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None
    finally:
        where.close()


def start() -> None:
    """Make sure that an engine answers."""
    if found := version():
        say(f"▸ Docker {found} is running; using it")
        return
    if "DOCKER_HOST" in os.environ:
        raise Stop(f"Nothing answers at DOCKER_HOST ({os.environ['DOCKER_HOST']}).")
    if not is_root():
        raise Stop(
            "No Docker engine answers here, and only root can install and start one. Start Docker, "
            "or run this as root."
        )
    if _dockerd() is None:
        apt_install("docker.io")
    if Path("/run/systemd/system").is_dir():
        with step("Starting Docker by systemd"):
            run(["systemctl", "start", "docker"], seconds=120)
            _wait(None)
    else:
        with step("No systemd here: starting dockerd by hand"):
            _start_by_hand()
    say(f"  Docker {version()} answers at {SOCKET}")


def _dockerd() -> str | None:
    return shutil.which("dockerd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _start_by_hand() -> None:
    program = _dockerd()
    if program is None:
        raise Stop("docker.io was installed, but there is no dockerd.")
    _mount_cgroups()
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    process = background.start([program], RECORD, LOG, {**os.environ, "PATH": path})
    _wait(process)
    say(f"  its process is {process.pid}, its log {LOG}; `make demo-clean` stops it")


def _mount_cgroups() -> None:
    """Mount the control groups where nothing has, as Debian's own package for this does."""
    mounted = (line.split()[2] for line in Path("/proc/mounts").read_text().splitlines())
    if {"cgroup", "cgroup2"} & set(mounted):
        return
    need({"cgroupfs-mount": "cgroupfs-mount"})
    say("  no control groups are mounted: cgroupfs-mount")
    run(["cgroupfs-mount"])


def _wait(process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if version():
            return
        if process is not None and process.poll() is not None:
            break
        time.sleep(0.3)
    if process is not None:
        for line in LOG.read_text(errors="replace").splitlines()[-15:]:
            say(f"    {line}")
        if process.poll() is None:
            process.terminate()
        RECORD.unlink(missing_ok=True)
    raise Stop("The Docker engine did not start; its last lines are above.")


def stop() -> None:
    """End the ``dockerd`` that `start` started by hand."""
    background.stop(RECORD, "the dockerd that was started here")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("start", "stop"))
    {"start": start, "stop": stop}[parser.parse_args().what]()
