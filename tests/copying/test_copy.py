"""What a copy keeps, what it leaves out, and how it says no."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_secxops_migrate.copying.errors import CopyFailed, FileUnreadable, VerifyFailed
from jupyter_secxops_migrate.copying.own import own_tree
from jupyter_secxops_migrate.copying.reasons import code_of
from jupyter_secxops_migrate.copying.tree import copy_tree
from jupyter_secxops_migrate.copying.verify import verify_tree

from .conftest import command, root_only, snapshot

Write = Callable[..., Path]


def test_a_copy_equals_its_source(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / "code" / "detect.py", "print('dga')\n")
    write(source / "run.sh", "#!/bin/sh\n", 0o755)
    write(source / "code" / "large.bin", os.urandom(5 << 20))
    write(source / "code" / "empty")
    write(source / "secret.txt", "x", 0o400)
    (source / "empty folder").mkdir(mode=0o750)
    (source / "odd").mkdir()
    (source / "odd").chmod(0o600)
    (source / "sticky").mkdir()
    (source / "sticky").chmod(0o3777)
    os.link(source / "run.sh", source / "a-link.sh")
    os.link(source / "run.sh", source / "code" / "z-link.sh")
    (source / "dangling").symlink_to("nowhere/at/all")
    os.setxattr(source / "run.sh", "user.note", b"\0\xff")
    os.setxattr(source / "sticky", "user.note", b"folder")
    os.utime(source / "code", ns=(1, 1_234_567_891_234_567_891))
    os.utime(source / "dangling", ns=(5, 7), follow_symlinks=False)
    os.utime(source, ns=(3, 4))

    result = copy_tree(source, destination, manifest=manifest)

    assert snapshot(destination) == snapshot(source)
    assert result.files == 7
    assert result.skipped == ()
    assert verify_tree(destination, manifest=manifest).digest == result.digest


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_processes_writes_the_same_manifest(
    source: Path, tmp_path: Path, write: Write, workers: int
) -> None:
    for number in range(700):
        write(source / f"{number % 7}" / f"{number}.txt", str(number) * 50)
    copy_tree(source, tmp_path / "one", manifest=tmp_path / "first", workers=2)
    copy_tree(source, tmp_path / "two", manifest=tmp_path / "second", workers=workers)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert (
        Path(f"{tmp_path}/first.meta").read_bytes() == Path(f"{tmp_path}/second.meta").read_bytes()
    )


def test_the_manifest_is_sorted_and_b3sum_reads_it(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    for name in (
        "b",
        "a/z",
        "a.txt",
        "a0",
        "new\nline",
        "back\\slash",
        "\\n",
        "blank  two",
        "ünï",
        "cr\r",
    ):
        write(source / name, name)
    copy_tree(source, destination, manifest=manifest)
    plain = []
    for line in manifest.read_bytes().split(b"\n")[:-1]:
        name = line.split(b"  ", 1)[1]
        if line.startswith(b"\\"):
            name = name.replace(b"\\\\", b"\0").replace(b"\\n", b"\n").replace(b"\0", b"\\")
        plain.append(name)
    assert plain == sorted(plain)
    if shutil.which("b3sum") is None:
        pytest.skip("b3sum is not installed")
    checked = subprocess.run(
        ["b3sum", "--check", str(manifest)], cwd=destination, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked
    written = subprocess.run(
        ["b3sum", "--", *plain], cwd=destination, capture_output=True, check=True
    )
    assert written.stdout == manifest.read_bytes()


def test_names_that_are_not_utf8_are_in_the_manifest_and_verified(
    source: Path, destination: Path, manifest: Path
) -> None:
    names = [b"\xff\xfe", b"caf\xe9\n", b"\\xff", "\udcff".encode("utf-8", "surrogatepass"), b"ok"]
    for name in names:
        with open(os.fsencode(source) + b"/" + name, "wb") as file:
            file.write(name)
    copy_tree(source, destination, manifest=manifest)
    assert len(set(manifest.read_bytes().splitlines())) == len(names)
    assert manifest.read_bytes().decode().count("\n") == len(names)
    assert verify_tree(destination, manifest=manifest).files == len(names)
    with open(os.fsencode(destination) + b"/caf\xe9\n", "ab") as file:
        file.write(b"!")
    with pytest.raises(VerifyFailed) as caught:
        verify_tree(destination, manifest=manifest)
    assert caught.value.params["first"] == r"caf\xe9\n"


# --------------------------------------------------------------------------- a write that goes wrong


@pytest.mark.parametrize("size", [1, 100_000, 3 << 20])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_byte_that_flips_on_its_way_fails_the_copy(
    source: Path, destination: Path, manifest: Path, write: Write, size: int, workers: int
) -> None:
    def flipping(descriptor: int, data: memoryview) -> int:
        wrong = bytearray(data)
        wrong[len(wrong) // 2] ^= 1
        return os.write(descriptor, wrong)

    write(source / "model.bin", os.urandom(size))
    with pytest.raises(VerifyFailed) as caught:
        copy_tree(source, destination, manifest=manifest, write=flipping, workers=workers)
    assert caught.value.params["first"] == "model.bin"
    assert not manifest.exists()


def test_a_write_that_is_lost_fails_the_copy(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / "model.bin", os.urandom(1000))
    with pytest.raises(VerifyFailed):
        copy_tree(source, destination, manifest=manifest, write=lambda descriptor, data: len(data))


def test_short_writes_are_finished(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / "model.bin", os.urandom(100_001))
    copy_tree(
        source,
        destination,
        manifest=manifest,
        write=lambda descriptor, data: os.write(descriptor, data[:999]),
    )
    assert snapshot(destination) == snapshot(source)


# --------------------------------------------------------------------------- what changed afterwards


def flip(path: Path) -> None:
    state = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "content": (lambda root: flip(root / "a/file"), "a/file: content"),
    "content of a link": (lambda root: flip(root / "a/hard"), "a/file: content"),
    "mode": (lambda root: (root / "a/file").chmod(0o600), "a/file: mode"),
    "time": (lambda root: os.utime(root / "a/file", ns=(0, 1)), "a/file: time"),
    "folder's mode": (lambda root: (root / "empty").chmod(0o700), "empty: mode"),
    "folder's time": (lambda root: os.utime(root / "empty", ns=(0, 1)), "empty: time"),
    "attribute": (
        lambda root: os.setxattr(root / "a/file", "user.x", b"2"),
        "a/file: attributes",
    ),
    "missing": (lambda root: (root / "a/last").unlink(), "a/last: is missing"),
    "missing folder": (lambda root: (root / "empty").rmdir(), "empty: is missing"),
    "extra": (
        lambda root: (root / "a/new").write_text("x"),
        "a/new: is there and should not be",
    ),
    "type": (
        lambda root: ((root / "a/last").unlink(), (root / "a/last").symlink_to("/etc/passwd")),
        "a/last: type",
    ),
    "target": (
        lambda root: ((root / "link").unlink(), (root / "link").symlink_to("b")),
        "link: ",
    ),
    "link cut": (
        lambda root: (
            (root / "a/hard").unlink(),
            shutil.copy2(root / "a/file", root / "a/hard"),
        ),
        "a/hard: is no longer the same file as a/file",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_verify_names_what_is_not_as_it_was(
    source: Path, destination: Path, manifest: Path, write: Write, change: str
) -> None:
    write(source / "a/file", "content")
    os.link(source / "a/file", source / "a/hard")
    write(source / "a/last", "content")
    os.setxattr(source / "a/file", "user.x", b"1")
    (source / "empty").mkdir(mode=0o755)
    (source / "link").symlink_to("a")
    copy_tree(source, destination, manifest=manifest)
    verify_tree(destination, manifest=manifest)

    do, expected = CHANGES[change]
    do(destination)

    with pytest.raises(VerifyFailed) as caught:
        verify_tree(destination, manifest=manifest)
    differences = caught.value.params["differences"]
    assert isinstance(differences, list)
    assert any(row.startswith(expected) for row in differences), differences


# --------------------------------------------------------------------------- what does not travel


def test_special_files_are_listed_not_copied(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    os.mkfifo(source / "pipe")
    write(source / "kept", "x")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(source, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
        result = copy_tree(source, destination, manifest=manifest)
    assert {row.name: row.reason for row in result.skipped} == {
        "pipe": "named pipe",
        "socket": "socket",
    }
    assert os.listdir(destination) == ["kept"]
    verify_tree(destination, manifest=manifest)


def test_files_with_a_set_id_bit_arrive_without_it(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    """As after `chmod -R g+rwXs project`, which is what makes a folder a group's."""
    write(source / "src/run.py", "print(1)", 0o2775)
    write(source / "notes.md", "x", 0o2664)
    write(source / "sudo", "x", 0o4755)
    write(source / "plain", "x")
    os.link(source / "sudo", source / "src" / "sudo")
    for folder in (source, source / "src"):
        folder.chmod(0o2775)
    result = copy_tree(source, destination, manifest=manifest)
    assert (result.files, result.skipped) == (5, ())
    assert {row.name for row in result.changed} == {"notes.md", "src/run.py", "src/sudo"}
    assert {code_of(row.reason) for row in result.changed} == {"setuid"}
    modes = {name: (destination / name).stat().st_mode & 0o7777 for name in os.listdir(destination)}
    assert modes == {"src": 0o2775, "notes.md": 0o664, "sudo": 0o755, "plain": 0o644}
    assert (destination / "src/run.py").stat().st_mode & 0o7777 == 0o775
    verify_tree(destination, manifest=manifest)


def test_a_folder_that_is_left_out_counts_the_files_in_it(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    for name in ("config", "id_ed25519", "keys/old"):
        write(source / ".ssh" / name, "12345")
    (source / ".gnupg").mkdir()
    result = copy_tree(source, destination, manifest=manifest)
    assert {row.name: (row.files, row.bytes) for row in result.skipped} == {
        ".ssh": (3, 15),
        ".gnupg": (1, 0),
    }


def test_credentials_never_travel_wherever_they_lie(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    secrets = [
        ".ssh/id_ed25519",
        "deep/er/.aws/credentials",
        ".docker/config.json",
        ".jupyter/jupyter_server_config.py",
        ".ipython/profile_default/startup/00.py",
        ".local/share/jupyter/notebook_secret",
        ".local/share/jupyter/nbsignatures.db",
        ".local/share/jupyter/runtime/kernel-1.json",
        ".bash_history",
        ".cache/huggingface/token",
        ".npmrc",
    ]
    for path in secrets:
        write(source / path, "//registry/:_authToken=SECRET")
    write(source / "frontend/.npmrc", "registry=https://mirror.example/\n")
    write(source / ".ipython/profile_default/ipython_log.txt", "fine")
    result = copy_tree(source, destination, manifest=manifest)
    assert sorted(p for p in snapshot(destination) if b"." not in p[:1]) == [
        b"deep",
        b"deep/er",
        b"frontend",
        b"frontend/.npmrc",
    ]
    assert all(
        b"SECRET" not in fact
        for facts in snapshot(destination).values()
        for fact in facts
        if isinstance(fact, bytes)
    )
    assert {row.name: row.reason for row in result.skipped}["deep/er/.aws"] == "cloud credentials"
    assert len(result.skipped) == len(secrets)


def test_a_copy_inside_its_own_source_ends(source: Path, manifest: Path, write: Write) -> None:
    write(source / "a", "x")
    result = copy_tree(source, source / "copy", manifest=manifest)
    assert [row.name for row in result.skipped] == ["copy"]
    assert sorted(os.listdir(source / "copy")) == ["a"]


def test_access_lists_travel_with_the_mode_they_belong_to(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    """user::rw-, user:65534:r--, group::---, mask::r--, other::--- (and a default one on a folder)."""
    rows = [
        (0x01, 6, 2**32 - 1),
        (0x02, 4, 65534),
        (0x04, 0, 2**32 - 1),
        (0x10, 4, 2**32 - 1),
        (0x20, 0, 2**32 - 1),
    ]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)
    path = write(source / "folder/file", "x")
    try:
        os.setxattr(path, "system.posix_acl_access", acl)
    except OSError:
        pytest.skip("no access lists in this file system")
    os.setxattr(path.parent, "system.posix_acl_default", acl)
    copy_tree(source, destination, manifest=manifest)
    assert os.getxattr(destination / "folder/file", "system.posix_acl_access") == acl
    assert snapshot(destination) == snapshot(source)


@root_only
@pytest.mark.root
def test_an_ordinary_user_copies_what_is_his(tmp_path: Path, write: Write) -> None:
    place = tmp_path / "place"
    file = write(place / "source/read-only/file", "x", 0o400)
    os.setxattr(file, "user.note", b"1")
    file.parent.chmod(0o500)
    for path in (place, *place.rglob("*")):
        os.chown(path, 65534, 65534)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    paths = (place / "source", place / "copy", "--manifest", place / "m")
    ran = command("copying", *paths, user=65534)
    assert ran.status == 0, ran
    assert snapshot(place / "copy") == snapshot(place / "source")
    assert command("copying.verify", *paths[1:], user=65534).status == 0


def test_excluded_folders_are_left_out(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / "data/big.csv", "1")
    write(source / "database/kept.csv", "1")
    write(source / "code/data/kept.csv", "1")
    copy_tree(source, destination, manifest=manifest, exclude=["./data/"])
    assert not (destination / "data").exists()
    assert (destination / "database/kept.csv").exists()
    assert (destination / "code/data/kept.csv").exists()


def test_mount_points_are_made_and_left_empty(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / "data/big.csv", "1")
    write(source / "data-2/kept.csv", "1")
    write(source / "sub/file", "1")
    (source / "data").chmod(0o750)
    (source / "sub/link").symlink_to("/mnt/big")
    points = ["data", "sub/link"]
    result = copy_tree(source, destination, manifest=manifest, mount_points=points)
    assert (result.files, result.skipped) == (2, ())
    for name in points:
        assert (destination / name).is_dir() and not (destination / name).is_symlink()
        assert os.listdir(destination / name) == []
    assert (destination / "data").stat().st_mode & 0o777 == 0o750
    assert verify_tree(destination, manifest=manifest).files == 2


def test_a_link_to_a_file_outside_stays_a_link(
    source: Path, destination: Path, manifest: Path
) -> None:
    (source / "shadow").symlink_to("/etc/shadow")
    (source / "etc").symlink_to("/etc")
    copy_tree(source, destination, manifest=manifest)
    assert os.readlink(destination / "shadow") == "/etc/shadow"
    assert sorted(os.listdir(destination)) == ["etc", "shadow"]
    assert manifest.read_bytes() == b""


# --------------------------------------------------------------------------- refusing, and adopting


def test_a_destination_with_something_in_it_is_left_alone(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(destination / "mine", "precious")
    with pytest.raises(CopyFailed, match="not empty"):
        copy_tree(source, destination, manifest=manifest)
    assert (destination / "mine").read_text() == "precious"


def test_what_an_interrupted_copy_left_is_replaced(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / "file", "whole")
    write(destination / "file", "hal")
    write(destination / "gone/deep/er", "x")
    (destination / "gone/deep").chmod(0o500)
    (destination / ".secxops-incomplete").mkdir()
    write(destination / ".secxops-incomplete/staged", "x")
    copy_tree(source, destination, manifest=manifest)
    assert snapshot(destination) == snapshot(source)


def test_source_and_destination_must_differ(source: Path, manifest: Path) -> None:
    with pytest.raises(CopyFailed, match="same folder"):
        copy_tree(source, source, manifest=manifest)
    assert os.listdir(source) == []


@pytest.mark.parametrize("exclude", ["../x", "/etc", "a/../../b", ""])
def test_an_exclude_outside_the_tree_is_refused(
    source: Path, destination: Path, manifest: Path, exclude: str
) -> None:
    with pytest.raises(CopyFailed, match="not a path inside"):
        copy_tree(source, destination, manifest=manifest, exclude=[exclude])


def test_a_source_that_is_not_there(tmp_path: Path, destination: Path, manifest: Path) -> None:
    with pytest.raises(CopyFailed, match=os.strerror(errno.ENOENT)):
        copy_tree(tmp_path / "nothing", destination, manifest=manifest)


# --------------------------------------------------------------------------- the commands


def test_the_commands_speak_json(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / "$(touch x)", "one")
    write(source / "--privileged", "two")
    (source / ".ssh").mkdir()
    ran = command("copying", source, destination, "--manifest", manifest)
    assert (ran.status, ran.errors) == (0, "")
    assert ran.last["type"] == "result"
    assert (ran.last["files"], ran.last["bytes"]) == (2, 6)
    assert ran.last["owner"] == [source.stat().st_uid, source.stat().st_gid]
    assert ran.last["skipped"] == [
        {"name": ".ssh", "reason": "keys of its owner", "files": 1, "bytes": 0}
    ]
    assert {line["type"] for line in ran.lines[:-1]} == {"progress"}

    checked = command("copying.verify", destination, "--manifest", manifest)
    assert checked.status == 0
    assert checked.last["digest"] == ran.last["digest"]

    (destination / "--privileged").write_text("three")
    failed = command("copying.verify", destination, "--manifest", manifest)
    assert failed.status == 1
    assert failed.last["type"] == "error"
    assert failed.last["code"] == "verify_failed"
    assert failed.last["params"]["first"] == "--privileged"


def test_wrong_usage_ends_with_2(tmp_path: Path) -> None:
    assert command("copying").status == 2
    assert (
        command(
            "copying.own", tmp_path, "--manifest", "m", "--before", "x", "--after", "1:1"
        ).status
        == 2
    )


# --------------------------------------------------------------------------- owners


@root_only
@pytest.mark.root
def test_owners_stay_and_the_projects_owner_becomes_the_images(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / "mine", "1")
    write(source / "group's", "2")
    write(source / "other's", "3")
    write(source / "target's", "4")
    (source / "shared").mkdir()
    (source / "link").symlink_to("mine")
    for name, owner in {
        "mine": (1000, 1000),
        "group's": (1000, 50),
        "other's": (33, 1000),
        "target's": (4000, 4000),
        "shared": (1000, 1000),
        "link": (1000, 1000),
        ".": (1000, 1000),
    }.items():
        os.chown(source / name, *owner, follow_symlinks=False)
    (source / "shared").chmod(0o2775)
    result = copy_tree(source, destination, manifest=manifest)
    assert result.owner == (1000, 1000)
    assert snapshot(destination) == snapshot(source)

    def owners() -> dict[str, tuple[int, int]]:
        return {
            path: (state.st_uid, state.st_gid)
            for path in ("mine", "group's", "other's", "target's", "shared", "link", ".")
            if (state := os.lstat(destination / path))
        }

    expected = {
        "mine": (4000, 100),
        "group's": (4000, 50),
        "other's": (33, 100),
        "target's": (4000, 4000),
        "shared": (4000, 100),
        "link": (4000, 100),
        ".": (4000, 100),
    }
    own_tree(destination, manifest=manifest, before=(1000, 1000), after=(4000, 100))
    assert owners() == expected
    assert (destination / "shared").stat().st_mode & 0o7777 == 0o2775
    again = own_tree(destination, manifest=manifest, before=(1000, 1000), after=(4000, 100))
    assert owners() == expected
    assert again.digest == result.digest
    verify_tree(destination, manifest=manifest)
    rows = [json.loads(line) for line in Path(f"{manifest}.meta").read_text().splitlines()]
    assert rows[0]["before"] == [1000, 1000]
    assert rows[0]["after"] == [4000, 100]
    assert {row["path"]: row.get("before") for row in rows[1:]}["group's"] == [1000, 50]

    everything = {"before": (1000, 1000), "everything": True}
    own_tree(destination, manifest=manifest, after=(4000, 100), **everything)
    assert set(owners().values()) == {(4000, 100)}
    assert verify_tree(destination, manifest=manifest).files == 4
    own_tree(destination, manifest=manifest, before=(1000, 1000), after=(1000, 1000))
    assert snapshot(destination) == snapshot(source)


@root_only
@pytest.mark.root
def test_what_cannot_be_read_is_counted_and_named(
    source: Path, tmp_path: Path, write: Write
) -> None:
    write(source / "b-readable", "x" * 1000)
    write(source / "c-secret", "x", 0o000)
    write(source / "a/secret", "x", 0o600)
    (source / "closed").mkdir(mode=0o700)
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, 65534, 65534)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    ran = command("copying", source, place / "d", "--manifest", place / "m", user=65534)
    assert ran.status == 1
    assert ran.last["code"] == FileUnreadable.code
    assert ran.last["params"]["count"] == 3
    assert ran.last["params"]["first"] == "a/secret"
