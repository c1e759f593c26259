"""The project's version, from repositories that may be hostile."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pygit2
import pytest
from folders import fill, git

from jupyter_secxops_migrate.model import ProjectVersion
from jupyter_secxops_migrate.project.errors import NoSuchVersion
from jupyter_secxops_migrate.project.version import (
    MAX_DIRTY,
    open_own,
    project_version,
    resolve,
)


def test_commit_branch_and_changed_files(repository):
    root = repository({"a": "1", "b": "1", "c": "1", ".gitignore": "*.log\n"})
    fill(root, {"a": "2", "new/one": "", "new/two": "", "x.log": ""})
    (root / "b").unlink()
    found = project_version(root)
    assert found.commit == git(root, "rev-parse", "HEAD")
    assert found.branch == "main"
    assert found.dirty_files == ["a", "b", "new/"]
    assert found.label == f"main @ {found.commit[:7]} · 3 files changed"


def test_changed_files_are_all_counted_and_some_named(repository):
    root = repository({f"f{i:03}": "1" for i in range(80)})
    fill(root, {f"f{i:03}": "2" for i in range(70)})
    found = project_version(root)
    assert (len(found.dirty_files), found.dirty_count) == (MAX_DIRTY, 70)


def test_a_folder_inside_a_repository_has_its_version(repository):
    root = repository({"sub/a": "1", "b": "1"})
    fill(root, {"sub/a": "2", "b": "2"})
    found = project_version(root / "sub")
    assert (found.commit, found.dirty_files) == (git(root, "rev-parse", "HEAD"), ["a"])


def test_no_git_an_empty_repository_and_a_detached_head(repository, tmp_path):
    assert project_version(tmp_path) == ProjectVersion()
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    assert project_version(tmp_path / "empty") == ProjectVersion(branch="main")
    root = repository({"a": "1"})
    git(root, "checkout", "-q", "--detach")
    assert project_version(root).branch is None
    assert project_version(root).label.startswith("detached @ ")


@pytest.mark.parametrize("damage", ["HEAD", "config", "objects", "refs", "index"])
def test_a_damaged_repository_has_no_version_but_is_no_error(repository, damage):
    root = repository({"a": "1"})
    path = root / ".git" / damage
    shutil.rmtree(path) if path.is_dir() else path.write_bytes(b"\xff\x00garbage")
    assert project_version(root).dirty_count >= 0
    if damage not in ("index", "HEAD"):
        with pytest.raises(NoSuchVersion):
            resolve(root, "main")


def test_file_names_that_are_not_utf_8_are_shown(repository):
    root = repository({"a": "1"})
    with open(os.fsencode(root) + b"/\xff\nx", "wb"):
        pass
    found = project_version(root)
    assert found.commit == git(root, "rev-parse", "HEAD")
    if sys.version_info >= (3, 11):  # pygit2 for 3.10 is too old to name them
        assert found.dirty_files == ["\\xff\nx"]


HOSTILE = """
[core]
    fsmonitor = "{program}"
    hooksPath = "{folder}"
    sshCommand = "{program}"
    editor = "{program}"
    pager = "{program}"
    gitProxy = "{program}"
    alternateRefsCommand = "{program}"
[filter "evil"]
    clean = "{program}"
    smudge = "{program}"
    process = "{program}"
    required = true
[diff "evil"]
    command = "{program}"
    textconv = "{program}"
[diff]
    external = "{program}"
[credential]
    helper = "!{program}"
[gpg]
    program = "{program}"
"""


def test_a_repositorys_configuration_runs_nothing(repository, tmp_path):
    """The same repository runs a program as soon as the git program looks at it."""
    root = repository(
        {"a": "1", ".gitattributes": "* filter=evil diff=evil\n", "Dockerfile": "FROM a"}
    )
    commit = git(root, "rev-parse", "HEAD")
    trap = tmp_path / "trap"
    trap.mkdir()
    ran = trap / "ran"
    program = trap / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    for hook in ("post-index-change", "pre-commit", "reference-transaction", "post-checkout"):
        (trap / hook).symlink_to(program)
    with (root / ".git" / "config").open("a") as file:
        file.write(HOSTILE.format(program=program, folder=trap))
    time.sleep(0.01)
    fill(root, {"a": "2", "b": "3"})

    assert project_version(root).dirty_files == ["a", "b"]
    assert resolve(root, "main") == commit
    assert resolve(root, commit[:8]) == commit
    opened = open_own(root)
    assert opened is not None
    assert opened[commit].peel(pygit2.Tree)["a"].data == b"1"
    assert not ran.exists()

    subprocess.run(["git", "status"], cwd=root, capture_output=True, timeout=60, check=False)
    assert ran.exists(), "the trap is none: git itself did not run the program"


def test_a_repository_of_another_account_is_read(repository):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    root = repository({"a": "1"})
    commit = git(root, "rev-parse", "HEAD")
    for path in (root, *root.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)
    assert project_version(root).commit == commit
    assert resolve(root, "main") == commit


def test_a_work_tree_named_in_the_configuration_is_not_looked_at(repository, tmp_path):
    root = repository({"a": "1"})
    fill(tmp_path / "other", {"private": "x"})
    git(root, "config", "core.worktree", str(tmp_path / "other"))
    assert project_version(root) == ProjectVersion()
    with pytest.raises(NoSuchVersion):
        resolve(root, "main")


def test_a_real_worktree_has_a_version_that_can_not_be_asked_for(repository, tmp_path):
    root = repository({"a": "1"})
    git(root, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    found = project_version(tmp_path / "side")
    assert (found.commit, found.branch) == (git(root, "rev-parse", "HEAD"), "side")
    with pytest.raises(NoSuchVersion, match="no git repository of its own"):
        resolve(tmp_path / "side", "side")


def test_a_submodule_has_a_version(repository, tmp_path):
    inner = repository({"a": "1"})
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub")
    assert project_version(outer / "sub").commit == git(inner, "rev-parse", "HEAD")


def test_a_git_file_that_points_at_a_strangers_repository_is_not_followed(repository, tmp_path):
    stranger = repository({"secret": "x"})
    project = fill(tmp_path / "project", {"a": ""})
    (project / ".git").write_text(f"gitdir: {stranger}/.git\n")
    assert project_version(project) == ProjectVersion()
    (project / ".git").unlink()
    (project / ".git").symlink_to(stranger / ".git")
    assert project_version(project) == ProjectVersion()
    (project / ".git").unlink()
    os.mkfifo(project / ".git")
    assert project_version(project) == ProjectVersion()


@pytest.mark.parametrize("trick", ["alternates", "commondir", "objects"])
def test_objects_of_a_strangers_repository_can_not_be_asked_for(repository, tmp_path, trick):
    stranger = repository({"secret": "x"})
    commit = git(stranger, "rev-parse", "HEAD")
    project = tmp_path / "project"
    project.mkdir()
    git(project, "init", "-q")
    dot = project / ".git"
    if trick == "alternates":
        (dot / "objects" / "info" / "alternates").write_text(f"{stranger}/.git/objects\n")
    elif trick == "commondir":
        (dot / "commondir").write_text(f"{stranger}/.git\n")
    else:
        shutil.rmtree(dot / "objects")
        (dot / "objects").symlink_to(stranger / ".git" / "objects")
    with pytest.raises(NoSuchVersion):
        resolve(project, commit)


def test_branches_tags_remotes_and_commits_resolve(repository):
    root = repository({"a": "1"})
    first = git(root, "rev-parse", "HEAD")
    git(root, "tag", "v1.0")
    git(root, "tag", "-a", "-m", "x", "annotated")
    git(root, "branch", "feature/größe-1#2+x")
    git(root, "update-ref", "refs/remotes/origin/main", first)
    fill(root, {"a": "2"})
    git(root, "commit", "-qam", "second")
    second = git(root, "rev-parse", "HEAD")
    for ref in (
        "v1.0",
        "annotated",
        "feature/größe-1#2+x",
        "origin/main",
        first,
        first[:7],
        first.upper(),
    ):
        assert resolve(root, ref) == first, ref
    for ref in ("main", "HEAD", second[:10]):
        assert resolve(root, ref) == second, ref


def test_a_tag_goes_before_a_branch_of_its_name(repository):
    root = repository({"a": "1"})
    first = git(root, "rev-parse", "HEAD")
    git(root, "tag", "same")
    git(root, "commit", "-q", "--allow-empty", "-m", "second")
    git(root, "branch", "same")
    assert resolve(root, "same") == first


@pytest.mark.parametrize(
    "ref",
    [
        "--upload-pack=touch x", "-x", "", " ", "main~1", "main^", "HEAD@{1}", "@", "@{-1}", ":/first", "main:a", "a..b",
        "main\n", "\x00", "../../etc/passwd", ".git", "main/", "main.", "/main", "refs//heads", "x.lock", "*", "ma?n", "[m]",
        "$(touch x)", "`touch x`", "main\\", "absent", "refs/heads/absent", "00000000", "f" * 40, "f" * 64, "a" * 5000, "\udcff",
    ],
)  # fmt: skip
def test_what_is_no_plain_name_of_a_version_here_is_refused(repository, ref, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = repository({"a": "1"})
    before = sorted(p.name for p in Path.cwd().rglob("*") if ".git" not in p.parts)
    with pytest.raises(NoSuchVersion) as caught:
        resolve(root, ref)
    assert caught.value.message.encode("utf-8")
    assert "\n" not in caught.value.message
    assert sorted(p.name for p in Path.cwd().rglob("*") if ".git" not in p.parts) == before


def test_a_tree_or_blob_is_no_version(repository):
    root = repository({"a": "1"})
    for what in ("HEAD^{tree}", "HEAD:a"):
        with pytest.raises(NoSuchVersion):
            resolve(root, git(root, "rev-parse", what))


TRAPS = [
    "HEAD", "config", "index", "packed-refs", "refs/heads/main", "info/exclude", "info/attributes", "shallow", "objects/info/commit-graph",
    "config.worktree", "../.gitignore", "../sub/.gitignore", "../.gitattributes", "../.gitmodules",
]  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["fifo", "link"])
@pytest.mark.parametrize("trap", TRAPS)
def test_a_pipe_where_git_has_a_file_does_not_stop_us(repository, tmp_path, trap, kind):
    root = repository({"a": "1", "sub/b": "1"})
    fill(root, {"a": "2", "sub/c": "1"})
    path = root / ".git" / trap
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True, parents=True)
    os.mkfifo(path if kind == "fifo" else tmp_path / "fifo")
    if kind == "link":
        path.symlink_to(tmp_path / "fifo")
    project_version(root)
    if trap.startswith("../"):
        assert resolve(root, "main")
    else:
        with pytest.raises(NoSuchVersion):
            resolve(root, "main")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "setting",
    [
        "[include]\n\tpath = {}",
        '[includeIf "gitdir:/"]\n\tpath = {}',
        "[core]\n\texcludesFile = {}",
        "[core]\n\tattributesFile = {}",
    ],
)
def test_a_configuration_that_leads_to_other_files_is_not_followed(repository, tmp_path, setting):
    root = repository({"a": "1"})
    os.mkfifo(tmp_path / "fifo")
    with (root / ".git" / "config").open("a") as file:
        file.write(setting.format(tmp_path / "fifo") + "\n")
    assert project_version(root) == ProjectVersion()
    with pytest.raises(NoSuchVersion):
        resolve(root, "main")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("trap", ["HEAD", "config"])
def test_a_pipe_in_a_submodule_does_not_stop_us(repository, tmp_path, trap):
    inner = repository({"a": "1"})
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub")
    git(outer, "commit", "-qm", "with it")
    assert project_version(outer).dirty_files == []
    fill(outer, {"sub/a": "2"})
    assert project_version(outer).dirty_files == ["sub"]
    (outer / "sub" / ".git").unlink()
    git(outer / "sub", "init", "-q")
    (outer / "sub" / ".git" / trap).unlink()
    os.mkfifo(outer / "sub" / ".git" / trap)
    assert project_version(outer).commit == git(outer, "rev-parse", "HEAD")
