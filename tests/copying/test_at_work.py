"""Somebody works in the project while it is copied: commits, packs, maps files into memory, moves them."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from effort import soaked

from jupyter_secxops_migrate.copying.errors import FileChanging
from jupyter_secxops_migrate.copying.repository import is_passing
from jupyter_secxops_migrate.copying.tree import copy_tree
from jupyter_secxops_migrate.copying.verify import verify_tree

from .test_git import git

Write = Callable[..., Path]


@contextmanager
def meanwhile(program: str, *arguments: str | Path) -> Iterator[None]:
    """Run a Python program beside us, from its first line of output until the end of the block."""
    environment = {
        **os.environ,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline()
        yield
        assert process.poll() is None, "it ended before the copy did"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def project(root: Path, write: Write, files: int = 6000) -> None:
    git(root, "init", "-q", "-b", "main")
    for number in range(files):
        write(root / f"{number % 60:02d}" / f"{number}.txt", f"{number}\n" * 50)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")


def whole(copy: Path) -> str:
    """Return what git finds wrong with a repository."""
    done = subprocess.run(
        ["git", "-C", str(copy), "fsck", "--no-dangling", "--no-progress"],
        capture_output=True,
        text=True,
    )
    return f"{done.stdout}{done.stderr}" if done.returncode else done.stdout


COMMITS = """
import subprocess, sys, time
from pathlib import Path
root, pack = Path(sys.argv[1]), len(sys.argv) > 2
def git(*words):
    subprocess.run(["git", "-C", root, "-c", "user.name=A", "-c", "user.email=a@b", "-c", "gc.auto=0", *words],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
number = 0
while True:
    number += 1
    (root / "zz").mkdir(exist_ok=True)
    (root / "zz" / "now.txt").write_text(str(number))
    git("add", "zz/now.txt")
    git("commit", "-q", "-m", str(number))
    git("tag", f"t{number}")
    git("branch", f"feature/{number}")
    if pack and number % 2 == 0:
        git("gc", "-q", "--prune=now")
    print(number)
    time.sleep(0.05)
"""


@pytest.mark.parametrize("pack", [(), ("pack",)], ids=["commits", "commits and gc"])
@pytest.mark.parametrize("attempt", [0, soaked(1), soaked(2)])
def test_a_repository_at_work_arrives_whole(
    source: Path, destination: Path, manifest: Path, write: Write, pack: tuple[str], attempt: int
) -> None:
    project(source, write)
    with meanwhile(COMMITS, source, *pack):
        result = copy_tree(source, destination, manifest=manifest)
    assert whole(destination) == ""
    assert git(destination, "log", "-1", "--format=%H")
    git(destination, "status", "--porcelain")
    git(destination, "checkout", "-q", "-b", "next")  # no lock was left
    assert not [row for row in result.skipped if row.name.startswith(".git/")]


def test_what_arrives_of_a_repository_at_work_is_proven(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    project(source, write, 2000)
    with meanwhile(COMMITS, source):
        result = copy_tree(source, destination, manifest=manifest)
    lines = manifest.read_bytes().splitlines()
    assert [line[66:] for line in lines] == sorted(line[66:] for line in lines)
    proven = verify_tree(destination, manifest=manifest)
    assert (proven.files, proven.bytes, proven.digest) == (
        result.files,
        result.bytes,
        result.digest,
    )


def test_locks_and_temporary_files_of_git_stay_behind(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    project(source, write, 3)
    git(source, "tag", "v1.lock2")
    for name in ("index.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_x", "objects/00/x"):
        write(source / ".git" / name)
    (source / ".git/objects/00/x").rename(source / ".git/objects/00/tmp_obj_x")
    write(source / "poetry.lock")
    result = copy_tree(source, destination, manifest=manifest)
    assert not result.skipped
    assert not [path for path in destination.rglob(".git/**/*") if "tmp_" in path.name]
    assert [path.name for path in destination.rglob("*.lock")] == ["poetry.lock"]
    assert git(destination, "tag") == "v1.lock2\n"
    git(destination, "commit", "-q", "--allow-empty", "-m", "second")
    assert is_passing(b"logs/refs/heads", b"main.lock")


MAPS = """
import mmap, os, sys, time
file = open(sys.argv[1], "r+b")
size = os.fstat(file.fileno()).st_size
memory = mmap.mmap(file.fileno(), size)
ends = time.monotonic() + float(sys.argv[2])
number = 0
while True:
    if time.monotonic() < ends:
        number += 1
        for at in range(0, size, 1 << 16):
            memory[at : at + 8] = number.to_bytes(8, "big")
        if number == 2:
            print("writing")
    else:
        time.sleep(0.1)
"""


def stamps(path: Path) -> set[bytes]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
        return {data[at : at + 8] for at in range(0, len(data), 1 << 16)}


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk, or in memory, where times never tell of a write through a mapping."""
    if request.param == "disk":
        yield tmp_path / "mapped"
        return
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("needs /dev/shm")
    path = Path(f"/dev/shm/secxops-{os.getpid()}")
    yield path
    subprocess.run(["rm", "-rf", str(path)], check=True)


def test_a_mapped_file_that_is_written_on_and_on_is_named(
    place: Path, destination: Path, manifest: Path, write: Write
) -> None:
    mapped = write(place / "array.npy", bytes(48 << 20))
    with meanwhile(MAPS, mapped, 600), pytest.raises(FileChanging, match=r"array\.npy"):
        copy_tree(place, destination, manifest=manifest)


def test_a_mapped_file_arrives_as_it_was_at_one_moment(
    place: Path, destination: Path, manifest: Path, write: Write
) -> None:
    mapped = write(place / "array.npy", bytes(48 << 20))
    with meanwhile(MAPS, mapped, 0.4):
        copy_tree(place, destination, manifest=manifest)
    assert len(stamps(destination / "array.npy")) == 1


MOVES = """
import os, sys, time
root, ends = sys.argv[1], time.monotonic() + float(sys.argv[2])
names = [f"moved-{number}" for number in range(50)]
here, there = "z-last", "a-first"
print("moving")
while True:
    for name in names if time.monotonic() < ends else ():
        os.rename(f"{root}/{here}/{name}", f"{root}/{there}/{name}")
    here, there = there, here
    time.sleep(0.01)
"""


@pytest.fixture
def movable(source: Path, write: Write) -> Path:
    for number in range(3000):
        write(source / f"m{number % 30:02d}" / f"{number}", f"{number}" * 100)
    for number in range(50):
        write(source / "z-last" / f"moved-{number}", f"moved {number}")
    write(source / "a-first" / "x")
    return source


def test_a_file_that_is_moved_meanwhile_arrives(
    movable: Path, destination: Path, manifest: Path
) -> None:
    with meanwhile(MOVES, movable, 0.5):
        time.sleep(0.3)
        copy_tree(movable, destination, manifest=manifest)
    arrived = {path.name: path.read_text() for path in destination.rglob("moved-*")}
    assert arrived == {f"moved-{number}": f"moved {number}" for number in range(50)}
    verify_tree(destination, manifest=manifest)


def test_a_folder_that_is_moved_once_arrives_at_its_new_place(
    movable: Path, destination: Path, manifest: Path
) -> None:
    def move(now: object) -> None:
        if not (movable / "a-first/below").exists():
            (movable / "z-last").rename(movable / "a-first/below")
            (movable / "m00/0").rename(movable / "a-first/x")  # over a file that was copied

    copy_tree(movable, destination, manifest=manifest, progress=move, workers=1)
    assert len(list(destination.glob("a-first/below/moved-*"))) == 50
    assert (destination / "a-first/x").read_text() == "0" * 100
    verify_tree(destination, manifest=manifest)


def test_files_that_are_moved_on_and_on_are_named(
    movable: Path, destination: Path, manifest: Path
) -> None:
    with meanwhile(MOVES, movable, 600):
        try:
            copy_tree(movable, destination, manifest=manifest)
        except FileChanging as error:
            assert "moved-" in error.params["first"]
        else:
            arrived = {path.name for path in destination.rglob("moved-*")}
            assert arrived == {f"moved-{number}" for number in range(50)}
