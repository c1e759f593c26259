"""Trees to copy, and a walker of our own to compare them with: it shares no code with the product."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def snapshot(root: Path | str, *, owners: bool = True) -> dict[bytes, tuple[Any, ...]]:
    """Everything about a tree that a copy keeps, by plain recursion."""
    found: dict[bytes, tuple[Any, ...]] = {}
    inodes: dict[int, bytes] = {}
    top = os.fsencode(root)

    def visit(path: bytes) -> None:
        state = os.lstat(path)
        name = os.path.relpath(path, top)
        owner = (state.st_uid, state.st_gid) if owners else ()
        facts: tuple[Any, ...]
        if stat.S_ISLNK(state.st_mode):
            facts = ("link", os.readlink(path), owner, state.st_mtime_ns)
        else:
            attributes = tuple(
                (key, os.getxattr(path, key))
                for key in sorted(os.listxattr(path))
                if not key.startswith(("security.", "trusted."))
            )
            facts = (stat.S_IMODE(state.st_mode), owner, state.st_mtime_ns, attributes)
            if stat.S_ISREG(state.st_mode):
                with open(path, "rb") as file:
                    facts = ("file", *facts, file.read())
                first = inodes.setdefault(state.st_ino, name)
                facts = (*facts, first)
            else:
                facts = ("folder", *facts)
        found[name] = facts
        if stat.S_ISDIR(state.st_mode):
            for child in sorted(os.listdir(path)):
                visit(path + b"/" + child)

    visit(top)
    return found


class Ran(NamedTuple):
    status: int
    lines: list[dict[str, Any]]
    errors: str

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1]


# An interpreter may lie where only its owner can read: so it loads everything before it drops rights.
DROPPING = """
import argparse, json, locale, os, shutil, signal, sys
import jupyter_secxops_migrate.{module} as module
from jupyter_secxops_migrate.copying import __main__ as copy, own, verify
os.setgroups([]); os.setgid({user}); os.setuid({user})
sys.exit((copy if "{module}" == "copying" else module).main(sys.argv[1:]))
"""


def command(module: str, *arguments: str | Path, user: int | None = None) -> Ran:
    """Run a command of the room with ``--json``, as another user if asked."""
    whole = [sys.executable, "-m", f"jupyter_secxops_migrate.{module}"]
    if user is not None:
        whole = [sys.executable, "-c", DROPPING.format(module=module, user=user)]
    done = subprocess.run(
        [*whole, *map(str, arguments), "--json"],
        capture_output=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return Ran(done.returncode, lines, done.stderr.decode())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    return path


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    path = tmp_path / "destination"
    path.mkdir()
    return path


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return tmp_path / "manifest"


@pytest.fixture
def write() -> Callable[..., Path]:
    def put(path: Path, content: bytes | str = b"", mode: int = 0o644) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    return put
