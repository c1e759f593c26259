"""A JupyterLab whose service works on an engine of folders, which can be held in any step.

Everything but the engine is real: what the browser shows has gone through the sidebar, the Jupyter
server, the service in a process of its own, its store and its workflow.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

if __name__ == "__main__":
    sys.path[:0] = [os.fspath(Path(__file__).parents[1])]

from traitlets import Unicode

from jupyter_secxops_migrate.engines.directory import CALLS, DirectoryEngine
from jupyter_secxops_migrate.hosts.user import SecxopsService, main
from jupyter_secxops_migrate.runtime import Runtime

T = TypeVar("T")
DOCKERFILE = "FROM python:3.12-slim\nRUN pip install jupyterlab\n"


class HeldHost(SecxopsService):
    """The service of one user, on an engine of folders."""

    engine_root = Unicode(help="Where the engine keeps its folders.").tag(config=True)

    def make_engine(self) -> DirectoryEngine:
        return DirectoryEngine(Path(self.engine_root))


def eventually(happened: Callable[[], T], seconds: float = 30) -> T:
    """Wait for something to become true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


class Held:
    """A folder with a JupyterLab, its service, the engine, and projects to share."""

    program = Path(__file__)
    """What the service's process runs."""

    def __init__(self, root: Path) -> None:
        from .jupyter import Lab

        self.root = root
        self.engine = DirectoryEngine(root / "engine")
        home = root / "home"
        home.mkdir()
        self.env = {
            **os.environ,
            "HOME": os.fspath(home),
            "SECXOPS_DATA_DIR": os.fspath(root / "state"),
            "JUPYTER_NO_CONFIG": "1",
        }
        self.runtime = Runtime(root / "state", root / "state" / "service.sock")
        self.lab: Lab

    @property
    def options(self) -> list[str]:
        """What the Jupyter server is told, to start this service."""
        words = [
            sys.executable,
            os.fspath(self.program),
            f"--HeldHost.engine_root={self.engine.root}",
        ]
        return [f"--SecxopsExtension.service_command={word}" for word in words]

    def project(self, name: str) -> Path:
        """Make a project with a notebook; it replaces one of this name."""
        from .jupyter import NOTEBOOK

        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "notebooks").mkdir(parents=True)
        (folder / "Dockerfile").write_text(DOCKERFILE)
        (folder / "train.py").write_text("print('training')\n")
        (folder / "notebooks" / "explore.ipynb").write_text(json.dumps(NOTEBOOK))
        return folder

    def shares(self) -> list[dict[str, Any]]:
        """Return the migrations that the service knows."""
        return list(json.loads(self.lab.ask("secxops/api/v1/migrations")))

    def kill_service(self) -> int:
        """Kill the service without a chance to clean up; return the id that it had."""
        pid = eventually(self.runtime.listener)
        os.kill(pid, signal.SIGKILL)
        return pid

    def calm(self) -> None:
        """Let every call go on, and the node be empty."""
        for call in CALLS:
            self.engine.release(call)
        (self.engine.root / "memory").unlink(missing_ok=True)

    def end_service(self) -> None:
        listener = self.runtime.listener()
        if listener:
            os.kill(listener, signal.SIGTERM)
            eventually(lambda: self.runtime.listener() is None)


@contextmanager
def holding(root: Path, made: type[Held] = Held) -> Iterator[Held]:
    """Run all of it in a folder, until the end of the block."""
    from .jupyter import jupyterlab

    held = made(root)
    try:
        with jupyterlab(root, held.env, *held.options) as held.lab:
            yield held
    finally:
        held.calm()
        held.end_service()


if __name__ == "__main__":
    main(application=HeldHost)
