"""Real repositories and folders for the tests of projects, builds and environments."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_git_settings_from_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, as somebody with a name."""
    who = {
        f"GIT_{r}_{k}": v
        for r in ("AUTHOR", "COMMITTER")
        for k, v in (("NAME", "A"), ("EMAIL", "a@b.example"))
    }
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *words],
        cwd=folder,
        env={**os.environ, **who},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.strip()


def fill(root: Path, files: dict[str, str | bytes]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[dict[str, str | bytes]], Path]:
    """Make a project folder of files."""

    def make(files: dict[str, str | bytes]) -> Path:
        root = tmp_path / "project"
        root.mkdir(exist_ok=True)
        return fill(root, files)

    return make


@pytest.fixture
def repository(tmp_path: Path) -> Callable[[dict[str, str | bytes]], Path]:
    """Make a git repository whose first commit holds files."""

    def make(files: dict[str, str | bytes]) -> Path:
        root = tmp_path / "repository"
        root.mkdir()
        fill(root, files)
        git(root, "init", "-q")
        git(root, "add", "-A", ".")
        git(root, "commit", "-q", "--allow-empty", "-m", "first")
        return root

    return make


@pytest.fixture
def nobodys_folder() -> Iterator[Callable[[dict[str, str | bytes]], Path]]:
    """Make a project folder as an account without rights, which the test then runs as."""
    before = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        if before == 0:
            os.chown(name, 65534, -1)
            os.seteuid(65534)
        try:
            root = Path(name) / "project"
            root.mkdir()
            yield lambda files: fill(root, files)
        finally:
            os.seteuid(before)
