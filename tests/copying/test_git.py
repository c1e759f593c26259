"""A repository travels without its credentials, and a commit travels without the work tree."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pygit2
import pytest

from jupyter_secxops_migrate.copying.errors import CopyFailed, FileUnreadable
from jupyter_secxops_migrate.copying.git import scrubbed
from jupyter_secxops_migrate.copying.reasons import code_of
from jupyter_secxops_migrate.copying.tree import copy_tree
from jupyter_secxops_migrate.copying.verify import verify_tree

from .conftest import command, root_only, snapshot

Write = Callable[..., Path]


def git(where: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@b", *arguments],
        cwd=where,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CEILING_DIRECTORIES": str(where.parent),
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


CONFIG = """\
# kept
[core]
\tbare = false
[remote "origin"]
\turl = https://me:s3cret@host.example/team/x.git
\tfetch = +refs/heads/*:refs/remotes/origin/*
\tpushurl = "https://s3cret@host.example/x.git"
[remote "ssh"]
\turl = ssh://git@host.example/x.git
[remote "scp"]
\turl = git@host.example:team/x.git
[remote "broken"] url = https://me:s3\\
cret@host.example/y.git
[url "https://oauth2:s3cret@host.example/"]
\tinsteadOf = gh:
[http "https://host.example/"]
\textraHeader = AUTHORIZATION: basic s3cret
\textraheader = more \\
  s3cret
\tsslVerify = true
[http] extraheader = s3cret
[Credential "https://host.example"]
\thelper = "!echo password=s3cret"
[credential]
\thelper = store
[sendemail]
\tsmtpPass = s3cret
[branch "main"]
\tremote = https://s3cret:x-oauth-basic@host.example/z.git
"""


def test_credentials_are_taken_out_of_a_configuration_and_the_rest_stays() -> None:
    clean = scrubbed(b"config", CONFIG.encode()).decode()
    assert "s3cret" not in clean.replace("\\\n", "")
    assert "credential" not in clean.lower()
    for kept in (
        "# kept\n[core]\n\tbare = false\n",
        "\turl = https://host.example/team/x.git\n",
        "\turl = ssh://git@host.example/x.git\n",
        "\turl = git@host.example:team/x.git\n",
        '[url "https://host.example/"]\n\tinsteadOf = gh:\n',
        "\tsslVerify = true\n",
    ):
        assert kept in clean
    assert scrubbed(b"config", clean.encode()).decode() == clean


def test_git_reads_what_is_left_as_before(source: Path, write: Write) -> None:
    git(source, "init", "-q")
    config = write(source / ".git/config", CONFIG)
    before = git(source, "config", "--local", "--list").splitlines()
    config.write_bytes(scrubbed(b"config", config.read_bytes()))
    after = git(source, "config", "--local", "--list").splitlines()
    assert len(after) == len(before) - 6
    assert "remote.broken.url=https://host.example/y.git" in after


@pytest.mark.parametrize(
    "text", ["[core]\n\tx = 1\n", "", "[a", "\\", "=\n[]\n\0", "[core]\r\n\tx = 1\r\n"]
)
def test_a_configuration_without_credentials_is_not_touched(text: str) -> None:
    assert scrubbed(b"config", text.encode()) == text.encode()


@pytest.fixture
def repository(source: Path, write: Write) -> Path:
    git(source, "init", "-q", "-b", "main")
    write(source / "detect.py", "print(1)\n")
    write(source / "run.sh", "#!/bin/sh\n", 0o755)
    write(source / "a/deep/file", "x")
    write(source / "a.b", "x")
    write(source / "zz", "x")
    (source / "link").symlink_to("a/deep")
    write(
        source / "model.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )
    write(source / "ünï\ncode", "x")
    git(source, "add", "-A")
    git(source, "commit", "-q", "-m", "first")
    git(source, "remote", "add", "origin", "https://me:s3cret@host.example/x.git")
    return source


def test_a_repository_is_copied_with_its_history_and_without_its_token(
    repository: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(repository / ".git/FETCH_HEAD", "0\t\tbranch 'm' of https://u:s3cret@host.example/x\n")
    write(
        repository / ".git/logs/HEAD",
        "0 1 A <a@b> 1 +0000\tclone: from https://s3cret@host.example/x\n",
    )
    write(repository / ".git/modules/sub/config", '[remote "o"]\n\turl = https://s3cret@host/x\n')
    write(repository / ".git/worktrees/w/config.worktree", "[http]\n\textraheader = s3cret\n")
    write(repository / "bare.git/HEAD", "ref: refs/heads/main\n")
    write(repository / "bare.git/config", '[remote "o"]\n\turl = https://s3cret@host/x\n')
    (repository / "bare.git/objects").mkdir()
    (repository / "bare.git/refs").mkdir()
    write(repository / "notes/config", "https://not-gits-own:business@host/\n")
    copy_tree(repository, destination, manifest=manifest)
    for path, facts in snapshot(destination).items():
        assert all(b"s3cret" not in f for f in facts if isinstance(f, bytes)), path
    assert (destination / "notes/config").read_text() == "https://not-gits-own:business@host/\n"
    assert git(destination, "rev-parse", "HEAD") == git(repository, "rev-parse", "HEAD")
    assert git(destination, "remote", "get-url", "origin") == "https://host.example/x.git\n"
    verify_tree(destination, manifest=manifest)
    scrubbed_rows = [
        line for line in Path(f"{manifest}.meta").read_text().splitlines() if '"scrubbed"' in line
    ]
    assert len(scrubbed_rows) == 6


# --------------------------------------------------------------------------- one commit


def test_a_commit_is_copied_clean_whatever_the_work_tree_holds(
    repository: Path, destination: Path, manifest: Path, write: Write
) -> None:
    commit = git(repository, "rev-parse", "HEAD").strip()
    write(repository / "detect.py", "print(2)\n")
    git(repository, "commit", "-q", "-am", "second")
    (repository / "zz").unlink()
    write(repository / "untracked", "s3cret")
    hook = write(repository / ".git/hooks/post-checkout", "#!/bin/sh\ntouch /tmp/hook-ran\n", 0o755)
    write(repository / ".gitattributes", "* filter=evil\n")
    git(repository, "config", "filter.evil.smudge", f"touch {repository}/smudged")

    ran = command("copying", repository, destination, "--manifest", manifest, "--commit", commit)
    assert ran.status == 0, ran
    assert not (repository / "smudged").exists()
    assert (destination / "detect.py").read_text() == "print(1)\n"
    assert (destination / "run.sh").stat().st_mode & 0o777 == 0o755
    assert os.readlink(destination / "link") == "a/deep"
    assert not (destination / ".git/hooks" / hook.name).exists()
    verify_tree(destination, manifest=manifest)
    assert git(destination, "status", "--porcelain") == ""
    assert git(destination, "rev-parse", "HEAD").strip() == commit
    assert git(destination, "rev-parse", "--abbrev-ref", "HEAD").strip() == "HEAD"
    assert git(destination, "log", "--oneline", "main").count("\n") == 2
    assert git(destination, "remote", "get-url", "origin") == "https://host.example/x.git\n"
    assert git(destination, "fsck") == ""
    names = [line.split("  ", 1)[1] for line in manifest.read_text().splitlines()]
    assert [n for n in names if not n.startswith(".git/")] == [
        "a.b",
        "a/deep/file",
        "detect.py",
        "model.bin",
        "run.sh",
        "zz",
        "ünï\\ncode",
    ]


def test_a_commit_has_mount_points_that_git_does_not_know(
    repository: Path, destination: Path, manifest: Path
) -> None:
    commit = git(repository, "rev-parse", "HEAD").strip()
    points = ["a/data", "sets/raw/1", "sets/raw-2"]
    copy_tree(repository, destination, manifest=manifest, commit=commit, mount_points=points)
    for name in points:
        assert os.listdir(destination / name) == []
    assert verify_tree(destination, manifest=manifest).files


def test_a_folder_of_a_commit_is_copied_without_the_repository(
    repository: Path, destination: Path, manifest: Path
) -> None:
    commit = git(repository, "rev-parse", "HEAD").strip()
    result = copy_tree(repository, destination, manifest=manifest, commit=commit, subfolder="a")
    assert sorted(snapshot(destination)) == [b".", b"deep", b"deep/file"]
    assert result.files == 1
    verify_tree(destination, manifest=manifest)


def test_a_submodule_is_named_and_left_out(
    repository: Path, destination: Path, manifest: Path
) -> None:
    head = git(repository, "rev-parse", "HEAD").strip()
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    git(repository, "commit", "-q", "-m", "with a submodule")
    commit = git(repository, "rev-parse", "HEAD").strip()
    result = copy_tree(repository, destination, manifest=manifest, commit=commit)
    assert [row.name for row in result.skipped] == ["sub"]
    assert git(destination, "status", "--porcelain") == ""


def test_a_crafted_tree_makes_nothing_outside(
    repository: Path, destination: Path, manifest: Path, tmp_path: Path
) -> None:
    """``git`` would never write such names; an object can hold them all the same."""
    opened = pygit2.Repository(str(repository))
    blob = opened.create_blob(b"owned")
    rows = b"".join(
        b"100644 " + name + b"\0" + blob.raw
        for name in (b"..", b"../escaped", b"/tmp/escaped", b".git", b".GIT", b"fine")
    )
    crafted = opened.odb.write(pygit2.enums.ObjectType.TREE, rows)
    tree = opened.odb.write(pygit2.enums.ObjectType.TREE, b"40000 sub\0" + crafted.raw)
    body = f"tree {tree}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx"
    commit = str(opened.odb.write(pygit2.enums.ObjectType.COMMIT, body.encode()))
    with pytest.raises(CopyFailed, match="invalid path"):
        copy_tree(repository, destination, manifest=manifest, commit=commit)
    result = copy_tree(repository, destination, manifest=manifest, commit=commit, subfolder="sub")
    assert {row.name for row in result.skipped} == {
        "..",
        "../escaped",
        "/tmp/escaped",
        ".git",
        ".GIT",
    }
    assert (destination / "fine").read_bytes() == b"owned"
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("commit", ["main", "--upload-pack=x", "0" * 40, "HEAD", "f" * 39])
def test_a_commit_that_is_not_there(
    repository: Path, destination: Path, manifest: Path, commit: str
) -> None:
    with pytest.raises(CopyFailed, match="commit"):
        copy_tree(repository, destination, manifest=manifest, commit=commit)


def test_a_repository_that_lies_elsewhere_is_not_read(
    repository: Path, tmp_path: Path, destination: Path, manifest: Path, write: Write
) -> None:
    commit = git(repository, "rev-parse", "HEAD").strip()
    for number, make in enumerate(
        (
            lambda path: path.symlink_to(repository / ".git"),
            lambda path: path.write_text(f"gitdir: {repository}/.git\n"),
            lambda path: None,
        )
    ):
        other = tmp_path / f"other-{number}"
        other.mkdir()
        make(other / ".git")
        with pytest.raises(CopyFailed, match=r"no \.git folder of its own"):
            copy_tree(other, destination, manifest=manifest, commit=commit)


@root_only
@pytest.mark.root
def test_a_commit_belongs_to_the_projects_owner(
    repository: Path, destination: Path, manifest: Path
) -> None:
    commit = git(repository, "rev-parse", "HEAD").strip()
    for path in (repository, *repository.rglob("*")):
        os.chown(path, 1234, 4321, follow_symlinks=False)
    copy_tree(repository, destination, manifest=manifest, commit=commit)
    for path in (destination, *destination.rglob("*")):
        state = path.lstat()
        assert (state.st_uid, state.st_gid) == (1234, 4321), path


# --------------------------------------------------------------------------- LFS and submodules


def lfs(repository: Path, content: bytes, *, present: bool = True, spoilt: bool = False) -> str:
    """Put content into the local LFS store; return its pointer."""
    oid = hashlib.sha256(content).hexdigest()
    if present:
        place = repository / ".git/lfs/objects" / oid[:2] / oid[2:4] / oid
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content[::-1] if spoilt else content)
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


@pytest.fixture
def nested(source: Path, tmp_path: Path, write: Write) -> Path:
    """A project with a submodule in a submodule, each one commit behind what is checked out now."""
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    for path in (inner, outer, source):
        path.mkdir(exist_ok=True)
        git(path, "init", "-q", "-b", "main")
        write(path / f"{path.name}.txt", "first")
        git(path, "add", "-A")
        git(path, "commit", "-q", "-m", "first")
    allow = ("-c", "protocol.file.allow=always")
    git(outer, *allow, "submodule", "--quiet", "add", str(inner), "libs/inner")
    git(outer, "commit", "-q", "-m", "inner")
    git(source, *allow, "submodule", "--quiet", "add", "--name", "o", str(outer), "third/outer")
    git(source, *allow, "submodule", "--quiet", "update", "--init", "--recursive")
    git(source, "commit", "-q", "-m", "outer")
    for path in (source / "third/outer/libs/inner", source / "third/outer"):
        write(path / "later.txt", "later")
        git(path, "add", "-A")
        git(path, "commit", "-q", "-m", "later")
    git(source, "commit", "-q", "-am", "later")
    return source


def test_submodules_arrive_at_the_commit_that_the_version_names(
    nested: Path, destination: Path, manifest: Path
) -> None:
    commit = git(nested, "rev-parse", "HEAD~1").strip()
    result = copy_tree(nested, destination, manifest=manifest, commit=commit)
    assert not result.skipped
    assert (destination / "third/outer/outer.txt").read_text() == "first"
    assert (destination / "third/outer/libs/inner/inner.txt").read_text() == "first"
    assert not list(destination.rglob("later.txt"))
    verify_tree(destination, manifest=manifest)
    for path in (destination, destination / "third/outer", destination / "third/outer/libs/inner"):
        assert git(path, "status", "--porcelain") == ""
        assert git(path, "fsck", "--no-dangling") == ""
    assert not {
        line[0] for line in git(destination, "submodule", "status", "--recursive").splitlines()
    } - {" "}


def test_a_submodules_name_leads_nowhere_else(
    nested: Path, destination: Path, manifest: Path, write: Write
) -> None:
    settings = (nested / ".gitmodules").read_text().replace('"o"', '"../../../outer/.git"')
    write(nested / ".gitmodules", settings)
    git(nested, "commit", "-q", "-am", "hostile")
    commit = git(nested, "rev-parse", "HEAD").strip()
    result = copy_tree(nested, destination, manifest=manifest, commit=commit)
    assert [row.name for row in result.skipped] == ["third/outer"]
    assert list((destination / "third/outer").iterdir()) == []


def test_content_of_lfs_arrives_where_the_repository_has_it(
    repository: Path, destination: Path, manifest: Path, write: Write
) -> None:
    content = os.urandom(3 << 20)
    write(repository / "here.bin", lfs(repository, content), 0o755)
    write(repository / "away.bin", lfs(repository, b"away", present=False))
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "large")
    commit = git(repository, "rev-parse", "HEAD").strip()
    result = copy_tree(repository, destination, manifest=manifest, commit=commit)
    assert (destination / "here.bin").read_bytes() == content
    assert (destination / "here.bin").stat().st_mode & 0o777 == 0o755
    assert (destination / "away.bin").read_text().startswith("version https://git-lfs")
    assert ("away.bin", "lfs_missing") in {
        (row.name, code_of(row.reason)) for row in result.changed
    }
    assert not result.skipped
    verify_tree(destination, manifest=manifest)


def test_content_of_lfs_that_is_spoilt_fails_the_copy(
    repository: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(repository / "spoilt.bin", lfs(repository, b"spoilt", spoilt=True))
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "large")
    commit = git(repository, "rev-parse", "HEAD").strip()
    with pytest.raises(FileUnreadable, match=r"spoilt\.bin"):
        copy_tree(repository, destination, manifest=manifest, commit=commit)
