"""A person at a terminal: the command line, the service it starts, and a real Docker Engine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest

LABEL = "app.kubernetes.io/managed-by=secxops-migrate"


@dataclass
class Outcome:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Person:
    """Runs ``jupyter secxops`` with a service and data folder of their own."""

    home: Path
    env: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "jupyter_secxops_migrate", *words]

    def run(self, *words: str, timeout: float = 180, cwd: Path | None = None) -> Outcome:
        done = subprocess.run(
            self.command(*words),
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Outcome(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, **options: Any) -> Any:
        done = self.run(*words, "--json", **options)
        assert done.code == 0, f"{words}: exit {done.code}\n{done.out}\n{done.err}"
        return json.loads(done.out) if done.out.strip() else None

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command(*words),
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        self.started.append(process)
        return process

    def service_pid(self) -> int:
        """The process of the service that they last had; it may have ended."""
        record = Path(self.env["SECXOPS_DATA_DIR"], "service.json")
        return int(json.loads(record.read_text())["pid"])

    def kill_service(self) -> None:
        """Kill the service without a chance to clean up."""
        pid = self.service_pid()
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists() and "Z" not in _state(pid):
            time.sleep(0.01)

    def wait_for(self, migration: str, wanted: Any, seconds: float = 120) -> Any:
        """Ask until ``wanted(migration)`` holds; return the migration."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.ok("show", migration)
            if wanted(found):
                return found
            assert time.monotonic() < deadline, json.dumps(found, indent=1)
            time.sleep(0.1)

    def wait_until_final(self, migration: str, seconds: float = 120) -> Any:
        return self.wait_for(
            migration, lambda m: m["state"] in ("succeeded", "failed", "cancelled"), seconds
        )


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def running(step: str) -> Any:
    """A condition for `Person.wait_for`: this step is under way, or the migration is over."""

    def check(found: Any) -> bool:
        states = {s["name"]: s["state"] for s in found["steps"]}
        assert found["state"] in ("queued", "running"), json.dumps(found, indent=1)
        return states[step] == "running"

    return check


class Leftovers:
    """What of one migration is in the engine."""

    def __init__(self) -> None:
        self.client = docker.from_env(timeout=60)

    def containers(self, migration: str) -> list[str]:
        label = f"secxops.io/migration={migration}"
        return sorted(
            c.name for c in self.client.containers.list(all=True, filters={"label": label})
        )

    def volumes(self, migration: str) -> list[str]:
        label = f"secxops.io/migration={migration}"
        return sorted(v.name for v in self.client.volumes.list(filters={"label": label}))

    def of(self, migration: str) -> list[str]:
        return self.containers(migration) + self.volumes(migration)

    def unnamed(self) -> set[str]:
        """The images without a name that are part of no other: the end of a build that failed."""
        return {row["Id"] for row in self.client.api.images(filters={"dangling": True})}

    def dangling(self) -> set[str]:
        return {c.id for c in self.client.containers.list(all=True, filters={"status": "exited"})}


@pytest.fixture(scope="session")
def engine_objects() -> Iterator[Leftovers]:
    found = Leftovers()
    yield found
    found.client.close()


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    """A person; at the end everything that they shared is deleted and their service ended."""
    with somebody(tmp_path) as made:
        yield made


@contextlib.contextmanager
def somebody(folder: Path) -> Iterator[Person]:
    """A person with a home in a folder, until everything that they shared is deleted."""
    home = folder / "home"
    home.mkdir()
    made = Person(
        home,
        {
            **os.environ,
            "HOME": str(home),
            "SECXOPS_DATA_DIR": str(folder / "state"),
            "JUPYTER_NO_CONFIG": "1",
        },
    )
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    if not Path(made.env["SECXOPS_DATA_DIR"]).exists():
        return
    done = made.run("list", "--json")
    for migration in json.loads(done.out) if done.code == 0 else []:
        made.run("delete", migration["id"], "--yes")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        pid = made.service_pid()
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and "Z" not in _state(pid):
            assert time.monotonic() < deadline, "the service did not end"
            time.sleep(0.05)


@dataclass
class Project:
    """A project folder that can be shared quickly."""

    path: Path

    def write(self, name: str, text: str | bytes) -> Path:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    def git(self, *words: str) -> str:
        return subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words],
            cwd=self.path,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()


@pytest.fixture
def project(tmp_path: Path, lab_image: str) -> Project:
    """A project whose image builds in a second, with a little code."""
    return small_project(tmp_path, lab_image)


def small_project(folder: Path, image: str) -> Project:
    """A project whose image builds in a second, with a little code."""
    made = Project(folder / "detector")
    made.path.mkdir()
    made.write(
        "Dockerfile",
        f"FROM {image}\nRUN echo ready > /tmp/ready\nWORKDIR /home/jovyan/detector\n",
    )
    made.write("train.py", "print('training')\n")
    made.write(
        "notebooks/explore.ipynb",
        '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}\n',
    )
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two hundred files of data, among them awkward ones."""
    return awkward_data(tmp_path / "domains")


def awkward_data(folder: Path) -> Path:
    """Two hundred files of data, among them awkward ones."""
    for n in range(200):
        file = folder / f"{n % 7}" / f"{n:03d}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(1000 + n))
    (folder / "new\nline").write_text("a name with a newline")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe")).write_text("a name that is not UTF-8")
    (folder / "link").symlink_to("/etc/shadow")
    os.link(folder / "0" / "000.csv", folder / "hard")
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    return folder
