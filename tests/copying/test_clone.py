"""A clone of the storage becomes a copy: no more in it, no less, and every byte compared."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_secxops_migrate.copying.errors import CopyFailed, VerifyFailed
from jupyter_secxops_migrate.copying.tree import copy_tree
from jupyter_secxops_migrate.copying.verify import verify_tree

from .conftest import command, root_only, snapshot

Write = Callable[..., Path]
CREDENTIAL = "https://alice:s3cret-token@git.example.org/x.git"


def cloned(source: Path, destination: Path) -> float:
    """Do what a storage does, also to what is never copied; return when it was told to."""
    time.sleep(0.02)  # file systems keep times in ticks
    ordered = time.time()
    time.sleep(0.02)
    destination.rmdir()
    subprocess.run(["cp", "-a", "--", source, destination], check=True)
    return ordered


def inodes(root: Path) -> dict[str, int]:
    return {
        str(path.relative_to(root)): path.lstat().st_ino
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


@pytest.fixture
def filled(source: Path, write: Write) -> Path:
    """A volume as they are: files of all kinds, and what must not travel."""
    write(source / "flows" / "large.bin", os.urandom(5 << 20))
    for number in range(300):
        write(source / "many" / f"{number % 7}" / f"{number}.txt", str(number) * 50)
    write(source / "empty")
    write(source / "run.sh", "#!/bin/sh\n", 0o755)
    os.link(source / "run.sh", source / "flows" / "linked.sh")
    (source / "dangling").symlink_to("nowhere/at/all")
    (source / "holes").touch()
    os.truncate(source / "holes", 3 << 20)
    os.setxattr(source / "empty", "user.note", b"\0\xff")
    write(source / ".ssh" / "id_ed25519", "a key")
    write(source / "work" / ".aws" / "credentials", "a key")
    write(source / "work" / ".pypirc", "a password")
    write(source / "work" / "pip.conf", "[global]\nindex-url = https://a:b@example.org/\n")
    os.mkfifo(source / "pipe")
    os.utime(source / "flows", ns=(1, 1_234_567_891_234_567_891))
    return source


def test_a_clone_ends_as_a_copy_would(
    filled: Path, destination: Path, manifest: Path, tmp_path: Path
) -> None:
    ordered = cloned(filled, destination)
    before = inodes(destination)

    result = copy_tree(filled, destination, manifest=manifest, cloned=ordered)

    copied = copy_tree(filled, tmp_path / "copy", manifest=tmp_path / "other")
    assert snapshot(destination) == snapshot(tmp_path / "copy")
    assert manifest.read_bytes() == (tmp_path / "other").read_bytes()
    assert result[:5] == copied[:5]
    assert (result.kept, copied.kept) == (303, 0)
    assert verify_tree(destination, manifest=manifest).digest == result.digest
    after = inodes(destination)
    assert after["flows/large.bin"] == before["flows/large.bin"], "what was equal was written again"
    for name in (".ssh", "work/.aws", "work/.pypirc", "work/pip.conf", "pipe"):
        assert not (destination / name).exists()
    assert not (destination / ".secxops-incomplete").exists()


def test_what_changed_since_the_clone_arrives_as_it_is_now(
    filled: Path, destination: Path, manifest: Path, write: Write
) -> None:
    ordered = cloned(filled, destination)
    write(filled / "many" / "0" / "0.txt", "changed")
    write(filled / "many" / "1" / "1.txt", "1" * 49 + "x")
    write(filled / "flows" / "new", "new")
    (filled / "empty").unlink()
    (filled / "run.sh").rename(filled / "moved.sh")
    os.chown(filled / "many" / "2" / "2.txt", os.geteuid(), os.getegid())
    os.setxattr(filled / "many" / "3" / "3.txt", "user.note", b"later")
    shutil.rmtree(filled / "many" / "4")
    write(filled / "many" / "4", "a file now")

    result = copy_tree(filled, destination, manifest=manifest, cloned=ordered)

    assert verify_tree(destination, manifest=manifest).digest == result.digest
    assert (destination / "many" / "0" / "0.txt").read_text() == "changed"
    assert (destination / "many" / "4").read_text() == "a file now"
    assert not (destination / "empty").exists()
    assert os.getxattr(destination / "many" / "3" / "3.txt", "user.note") == b"later"


@pytest.mark.parametrize("lack", ["many/0/0.txt", "flows/large.bin", "many", ""])
def test_a_clone_that_lacks_what_was_there_before_it_is_refused(
    filled: Path, destination: Path, manifest: Path, lack: str
) -> None:
    ordered = cloned(filled, destination)
    lacking = destination / lack
    (shutil.rmtree if lacking.is_dir() else os.unlink)(lacking)
    destination.mkdir(exist_ok=True)

    with pytest.raises(VerifyFailed) as failed:
        copy_tree(filled, destination, manifest=manifest, cloned=ordered)
    empty = failed.value.params["reason"] == "the clone came back empty"
    assert empty == (lack == "")
    assert not manifest.exists()


def test_a_clone_with_other_content_is_refused_though_its_times_are_equal(
    filled: Path, destination: Path, manifest: Path
) -> None:
    ordered = cloned(filled, destination)
    rotten = destination / "flows" / "large.bin"
    times = rotten.stat()
    with rotten.open("r+b") as file:
        file.seek(4_000_000)
        byte = file.read(1)
        file.seek(4_000_000)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(rotten, ns=(times.st_atime_ns, times.st_mtime_ns))

    with pytest.raises(VerifyFailed) as failed:
        copy_tree(filled, destination, manifest=manifest, cloned=ordered)
    assert failed.value.params["first"] == "flows/large.bin"


def test_what_the_copy_makes_something_else_of_is_not_taken_from_the_clone(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / ".git" / "HEAD", "ref: refs/heads/main\n")
    for name in ("objects", "refs"):
        (source / ".git" / name).mkdir()
    write(source / ".git" / "config", f'[remote "origin"]\n\turl = {CREDENTIAL}\n')
    with sqlite3.connect(source / "flows.db") as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE flow (name)")
        database.execute("INSERT INTO flow VALUES ('dga')")
        database.commit()
        ordered = cloned(source, destination)

        copy_tree(source, destination, manifest=manifest, cloned=ordered)

    assert "s3cret" not in (destination / ".git" / "config").read_text()
    assert not (destination / "flows.db-wal").exists()
    verify_tree(destination, manifest=manifest)
    with sqlite3.connect(destination / "flows.db") as database:
        assert database.execute("SELECT name FROM flow").fetchall() == [("dga",)]


def test_what_a_repair_left_in_the_clones_file_system_does_not_stay(
    filled: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(filled / "lost+found" / "#12", "a key")
    write(filled / "lost+found" / "deep" / "#13", "a key")
    ordered = cloned(filled, destination)
    result = copy_tree(filled, destination, manifest=manifest, cloned=ordered)
    assert os.listdir(destination / "lost+found") == []
    assert verify_tree(destination, manifest=manifest).digest == result.digest


def test_what_an_interrupted_start_from_a_clone_left_is_not_taken_for_a_clone(
    filled: Path, destination: Path, manifest: Path
) -> None:
    ordered = cloned(filled, destination)
    (destination / ".secxops-incomplete" / "clone").mkdir(parents=True)
    (destination / "many").rename(destination / ".secxops-incomplete" / "clone" / "many")
    with pytest.raises(VerifyFailed):
        copy_tree(filled, destination, manifest=manifest, cloned=ordered)
    assert (filled / "many" / "0" / "0.txt").exists()


def test_a_clone_that_is_the_source_itself_is_left_alone(
    filled: Path, tmp_path: Path, manifest: Path
) -> None:
    before = snapshot(filled)
    with pytest.raises(CopyFailed, match="same folder"):
        copy_tree(filled, filled, manifest=manifest, cloned=time.time())
    assert snapshot(filled) == before


def test_a_mark_in_the_source_means_that_the_clone_may_be_the_source(
    filled: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(filled / ".secxops-incomplete" / "left", "by an interrupted copy")
    ordered = cloned(filled, destination)
    before = snapshot(destination)
    with pytest.raises(CopyFailed, match="not a volume of its own"):
        copy_tree(filled, destination, manifest=manifest, cloned=ordered)
    assert snapshot(destination) == before


@root_only
def test_owners_and_modes_are_the_sources_whatever_the_clone_made_of_them(
    filled: Path, destination: Path, manifest: Path
) -> None:
    os.chown(filled / "empty", 4711, 4712)
    ordered = cloned(filled, destination)
    os.chown(destination / "flows" / "large.bin", 1, 2)
    os.chmod(destination / "empty", 0o4777)
    result = copy_tree(filled, destination, manifest=manifest, cloned=ordered)
    verify_tree(destination, manifest=manifest)
    assert (destination / "flows" / "large.bin").stat().st_uid == 0
    assert (destination / "empty").stat().st_mode & 0o7777 == 0o644
    assert result.kept == 303


def test_the_command_says_how_many_files_the_clone_brought(
    filled: Path, destination: Path, manifest: Path
) -> None:
    ordered = cloned(filled, destination)
    ran = command("copying", filled, destination, "--manifest", manifest, f"--cloned={ordered}")
    assert (ran.status, ran.last["kept"]) == (0, 303), ran.errors
    # What would empty the clone, or is no part of it.
    for other in ("--exclude=many", "--afresh"):
        words = (filled, destination, "--manifest", manifest, "--cloned=1", other)
        assert command("copying", *words).status == 2
