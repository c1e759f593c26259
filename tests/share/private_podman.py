"""A Podman of a test's own: its Docker-compatible API, with storage and containers of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

LIMIT = 16384


@contextlib.contextmanager
def private_podman(images: Sequence[str]) -> Iterator[str]:
    """Start one with some images of the Docker Engine; yields its endpoint, ends it by its pid."""
    folder = Path(tempfile.mkdtemp(prefix="secxops-podman-"))  # a short path: sun_path is
    config = folder / "containers.conf"
    config.write_text(_config())
    podman = ["podman", "--root", str(folder / "root"), "--runroot", str(folder / "run")]
    env = {**os.environ, "CONTAINERS_CONF": str(config)}
    socket = folder / "sock"
    log = (folder / "log").open("wb")
    service = subprocess.Popen(
        [*podman, "system", "service", "--time", "0", f"unix://{socket}"],
        env=env,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not socket.exists():
            assert service.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        for name in images:
            with subprocess.Popen(["docker", "save", name], stdout=subprocess.PIPE) as saved:
                subprocess.run([*podman, "load", "-q"], stdin=saved.stdout, env=env, check=True)
            # Docker's names without a host are Docker Hub's.
            hub = f"docker.io/library/{name}"
            subprocess.run([*podman, "tag", f"localhost/{name}", hub], env=env, check=True)
        yield f"unix://{socket}"
    finally:
        os.kill(service.pid, signal.SIGTERM)
        service.wait(60)
        log.close()
        for words in (("rm", "-f", "-a", "-t", "0"), ("volume", "prune", "-f")):
            subprocess.run([*podman, *words], env=env, stdout=subprocess.DEVNULL, check=False)
        subprocess.run(
            ["umount", "-l", str(folder / "root" / "overlay")],
            check=False,
            stderr=subprocess.DEVNULL,
        )
        shutil.rmtree(folder, ignore_errors=True)


def _config() -> str:
    """Podman's settings where no systemd runs, and where root may not raise its own limits."""
    said = ", ".join(f'"{name}={LIMIT}:{LIMIT}"' for name in ("nofile", "nproc"))
    return (
        f"[containers]\ndefault_ulimits = [{said}]\n"
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )
