"""A Docker Engine of a test's own, on a small disk and a network of its own, that may be broken.

Nothing reaches its containers, and they reach nothing: what needs a package index is loaded into it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker


@dataclass
class PrivateEngine:
    """Where it listens, and the folder in which its disk is mounted."""

    endpoint: str
    disk: Path

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.endpoint, timeout=600)

    def leave_free(self, size: int) -> Path:
        """Fill the disk until about ``size`` bytes are free."""
        found = os.statvfs(self.disk)
        ballast = self.disk / "ballast"
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - size)
        return ballast


@contextlib.contextmanager
def private_engine(folder: Path, size: int, images: list[str]) -> Iterator[PrivateEngine]:
    """Start one on a disk of ``size`` bytes with some images of the usual engine; end it by its pid."""
    image, disk = folder / "disk.img", folder / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True)
    socket = Path("/tmp") / f"secxops-test-{os.getpid()}.sock"  # a short path: sun_path is
    pidfile = folder / "dockerd.pid"
    log = (folder / "dockerd.log").open("wb")
    daemon = subprocess.Popen(
        [
            # A network namespace of its own: with no bridge, dockerd takes the machine's docker0 away.
            *("unshare", "--net", "--", "dockerd"),
            *("--host", f"unix://{socket}", "--pidfile", str(pidfile)),
            *("--data-root", str(disk / "data"), "--exec-root", str(folder / "exec")),
            *("--bridge", "none", "--iptables=false", "--ip6tables=false"),
        ],
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    made = PrivateEngine(f"unix://{socket}", disk)
    try:
        _wait(made, daemon, folder / "dockerd.log")
        for name in images:
            save = subprocess.Popen(["docker", "save", name], stdout=subprocess.PIPE)
            subprocess.run(
                ["docker", "-H", made.endpoint, "load", "-q"],
                stdin=save.stdout,
                stdout=subprocess.DEVNULL,
                check=True,
            )
            assert save.stdout is not None
            save.stdout.close()
            assert save.wait() == 0
        yield made
    finally:
        os.kill(daemon.pid, signal.SIGTERM)
        daemon.wait(60)
        log.close()
        socket.unlink(missing_ok=True)
        _unmount_below(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(engine: PrivateEngine, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert daemon.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        asked = subprocess.run(
            ["docker", "-H", engine.endpoint, "version"], capture_output=True, check=False
        )
        if asked.returncode == 0:
            return
        time.sleep(0.2)


def _unmount_below(folder: Path) -> None:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False)
