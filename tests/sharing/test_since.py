"""Whether the source of a share has changed since: what is said of it, and when nothing is."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from jupyter_secxops_migrate.model import Migration, SourceChanges
from jupyter_secxops_migrate.sharing.since import Before, changes_since

from .world import World


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def shared(world: World, **more: Any) -> Migration:
    return world.ended(world.share(**more).id)


def changed(world: World, migration: Migration) -> SourceChanges | None:
    return world.get(migration.id, changes=True).changes


def test_what_changed_came_and_went_is_counted_and_named(world: World) -> None:
    project = world.project
    for name in ("gone.py", "a/edited.py", "a/same-size.py", "kept/.env", "left/.env"):
        write(project / name, "A = 'before'")
    (project / "link").symlink_to("gone.py")
    made = shared(world, keep=["kept/.env"])
    assert world.get(made.id).changes is None, "only when it is asked for"
    assert changed(world, made) == SourceChanges()

    (project / "gone.py").unlink()
    write(project / "a/edited.py", "A = 'after that'")
    write(project / "a/same-size.py", "A = 'b4fore'")
    write(project / "kept/.env", "A = 'x'")
    (project / "link").unlink()
    (project / "link").symlink_to("elsewhere")
    write(project / "new/one.py", "")
    write(world.data / "more.csv", "")

    found = changed(world, made)
    assert found is not None and found.complete
    assert (found.files, found.first) == (
        7,
        [
            "detector/a/edited.py",
            "detector/a/same-size.py",
            "detector/kept/.env",
            "detector/link",
            "detector/new/one.py",
        ],
    )


def test_what_nobody_changed_is_no_change(world: World) -> None:
    """What a copy leaves out, what Git, Python and Jupyter write by themselves, another way to data."""
    project = world.project
    write(project / "train.py", "")
    write(world.folder / "elsewhere/x.csv", "1")
    (project / "data").symlink_to(world.folder / "elsewhere")
    subprocess.run(["git", "init", "-q", project], check=True)
    made = shared(world, data=[str(project / "data")])
    assert changed(world, made) == SourceChanges()

    subprocess.run(["git", "-C", project, "add", "train.py"], check=True)
    write(project / "__pycache__/train.cpython-310.pyc", "")
    write(project / "notebooks/.ipynb_checkpoints/x.ipynb", "{}")
    write(project / ".env", "TOKEN=hunter2hunter2")
    write(project / ".ssh/id_ed25519", "")
    os.mkfifo(project / "pipe")
    assert changed(world, made) == SourceChanges()
    write(world.folder / "elsewhere/x.csv", "12")
    found = changed(world, made)
    assert found is not None and found.first == ["elsewhere/x.csv"]


def test_a_commit_does_not_change(world: World) -> None:
    project = world.project
    git = ["git", "-C", project, "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", project], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    made = shared(world, version="HEAD")
    write(project / "train.py", "another")
    assert changed(world, made) == SourceChanges()


def test_nothing_is_said_of_what_is_not_there(world: World) -> None:
    made = shared(world)
    shutil.rmtree(world.data)
    assert changed(world, made) is None


def test_a_look_has_its_end(world: World) -> None:
    """Time and number are bounded; what was found until then is said, nothing else."""
    for number in range(200):
        write(world.project / f"{number:03}.py", "")
    made = shared(world)
    folder = world.data_dir / "migrations" / made.id
    before = [Before(world.project, folder / "code.b3", data=False)]
    write(world.project / "000.py", "changed")
    assert changes_since(before) == SourceChanges(files=1, first=["detector/000.py"])
    assert changes_since(before, seconds=-1) is None
    found = changes_since(before, most=300)
    assert found is not None and not found.complete


def test_a_source_that_stands_still_holds_nobody_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder on a server that is away answers after the deadline, or never."""
    made = shared(world)
    pipe = world.folder / "pipe"
    os.mkfifo(pipe)
    assert world.service is not None

    def stands_still(*_: Any) -> None:
        pipe.read_bytes()

    monkeypatch.setattr("jupyter_secxops_migrate.sharing.service.changes_since", stands_still)
    monkeypatch.setattr("jupyter_secxops_migrate.sharing.service._COMPARE_SECONDS", 0.05)
    try:
        for _ in range(4):
            began = time.monotonic()
            assert changed(world, made) is None
            assert time.monotonic() - began < 5
        assert len(world.service._comparing) == 1, "it is asked for once"
        assert world.get(made.id).name == made.name
    finally:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
