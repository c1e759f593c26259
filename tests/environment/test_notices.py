"""What will work otherwise in a copy is named in the plan; git's less usual repositories travel."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from folders import fill, git

from jupyter_secxops_migrate.building.context import BuildContext
from jupyter_secxops_migrate.copying.errors import CopyFailed, FileUnreadable
from jupyter_secxops_migrate.copying.tree import copy_tree
from jupyter_secxops_migrate.environment.survey import survey
from jupyter_secxops_migrate.project.errors import VersionIncomplete
from jupyter_secxops_migrate.project.version import project_version, resolve


@pytest.fixture
def repository(folder) -> Path:
    root = folder({"a.py": "a", "d/b.py": "b"})
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


def lfs(root: Path, content: bytes, *, present: bool = True) -> str:
    """Put content into the local LFS store; return its pointer."""
    oid = hashlib.sha256(content).hexdigest()
    if present:
        fill(root / ".git/lfs/objects" / oid[:2] / oid[2:4], {oid: content})
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


def codes(root: Path, version: str | None = None) -> list[str]:
    return [notice.code for notice in survey(root, [], version).notices]


def arrives(root: Path, tmp_path: Path) -> Path:
    """Copy a project; return the copy, of which git says what it says of the project."""
    made = tmp_path / "made"
    copy_tree(root, made, manifest=tmp_path / "manifest")
    said = [
        subprocess.run(["git", "-C", str(path), "fsck"], capture_output=True)
        for path in (root, made)
    ]
    assert said[0].stdout == said[1].stdout
    assert git(made, "status", "--porcelain") == git(root, "status", "--porcelain")
    assert git(made, "rev-parse", "HEAD") == git(root, "rev-parse", "HEAD")
    return made


# --------------------------------------------------------------------------- versions


def with_submodule(root: Path, tmp_path: Path) -> None:
    other = fill(tmp_path / "other", {"s.py": "s", "deep/t.py": "t"})
    git(other, "init", "-q")
    git(other, "add", "-A")
    git(other, "commit", "-q", "-m", "first")
    git(root, "-c", "protocol.file.allow=always", "submodule", "-q", "add", str(other), "libs/s")
    git(root, "commit", "-q", "-m", "a submodule")


def test_the_plan_counts_of_a_version_what_arrives(repository, tmp_path):
    with_submodule(repository, tmp_path)
    fill(
        repository,
        {"big.bin": lfs(repository, b"x" * 5000), "gone.bin": lfs(repository, b"y", present=False)},
    )
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "large")
    git(repository, "tag", "v1")
    fill(repository, {"later.py": "later", ".git/index.lock": ""})
    found = survey(repository, [], "v1")
    made = tmp_path / "made"
    result = copy_tree(
        repository, made, manifest=tmp_path / "manifest", commit=resolve(repository, "v1")
    )
    assert found.project.files == result.files
    assert (made / "libs/s/deep/t.py").read_text() == "t"
    assert (made / "big.bin").stat().st_size == 5000
    assert [(n.code, n.count, n.paths) for n in found.notices] == [("lfs_missing", 1, ["gone.bin"])]
    assert [(row.name, row.code, row.files) for row in found.changed] == [
        ("project/gone.bin", "lfs_missing", 1)
    ]
    assert "lfs_missing" not in {row.code for row in found.not_copied}


def test_a_folder_that_a_version_leaves_out_counts_with_all_its_files(repository, tmp_path):
    with_submodule(repository, tmp_path)
    fill(repository, {f".ssh/{name}": name for name in ("a", "b", "deep/c", "deep/d")})
    (repository / ".ssh/link").symlink_to("a")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "keys")
    found = survey(repository, [], "HEAD")
    result = copy_tree(
        repository, tmp_path / "made", manifest=tmp_path / "m", commit=resolve(repository, "HEAD")
    )
    planned = {row.name: row.files for row in found.not_copied}
    copied = {row.name: row.files for row in result.skipped}
    assert (planned["project/.ssh"], copied[".ssh"]) == (4, 4)


def test_a_submodule_that_is_not_here_is_named(repository, tmp_path):
    with_submodule(repository, tmp_path)
    (repository / ".git/modules").rename(tmp_path / "modules")
    found = survey(repository, [], "HEAD")
    assert [(n.code, n.paths) for n in found.notices] == [("submodule_missing", ["libs/s"])]
    assert [(row.code, row.name) for row in found.not_copied] == [("submodule", "project/libs/s")]


def test_the_build_of_a_version_gets_what_the_copy_gets(repository, tmp_path):
    with_submodule(repository, tmp_path)
    fill(repository, {"big.bin": lfs(repository, b"x" * 5000)})
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "large")
    commit = git(repository, "rev-parse", "HEAD")
    context = BuildContext(repository, b"FROM x\nCOPY . /x\n", commit)
    assert len(b"".join(context.chunks())) > 5000
    copy_tree(repository, tmp_path / "made", manifest=tmp_path / "manifest", commit=commit)
    copied = {
        path: digest
        for digest, path in (
            line.split("  ", 1) for line in (tmp_path / "manifest").read_text().splitlines()
        )
    }
    sent = {path: digest for path, digest in context.digests.items() if path != "Dockerfile"}
    assert sent == {p: d for p, d in copied.items() if ".git" not in p.split("/")}
    assert "libs/s/deep/t.py" in sent


@pytest.mark.parametrize("kind", ["blob:none", "tree:0"])
def test_a_version_of_which_a_partial_clone_lacks_files_is_refused(repository, tmp_path, kind):
    git(repository, "tag", "v1")
    fill(repository, {"a.py": "later", "d/b.py": "later"})
    git(repository, "commit", "-q", "-a", "-m", "later")
    git(repository, "config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", f"--filter={kind}", f"file://{repository}", str(clone))
    with pytest.raises(VersionIncomplete) as caught:
        survey(clone, [], "v1")
    with pytest.raises((FileUnreadable, CopyFailed)):
        copy_tree(
            clone, tmp_path / "no", manifest=tmp_path / "manifest", commit=resolve(clone, "v1")
        )
    assert survey(clone, [], "HEAD").project.files
    words = caught.value.hint.split("`")[1].split()
    assert words[0] == "git"
    git(clone, *words[1:])
    assert survey(clone, [], "v1").project.files
    commit = resolve(clone, "v1")
    copy_tree(clone, tmp_path / "made", manifest=tmp_path / "manifest", commit=commit)
    assert (tmp_path / "made/d/b.py").read_text() == "b"


def test_files_that_git_would_change_on_checkout_are_counted(repository, tmp_path):
    with_submodule(repository, tmp_path)
    attributes = (
        "[attr]crypt filter=git-crypt diff=git-crypt\n*.sec crypt\n*.key-like filter=own\n"
        "*.bin filter=lfs\n*.ipynb filter=nbstripout\n*.txt eol=crlf\n*.dat -text eol=crlf\n"
        "*.lat working-tree-encoding=ISO-8859-1\n*.utf working-tree-encoding=UTF-8\n*.id ident\n"
    )
    names = ("a.sec", "a.key-like", "a.ipynb", "a.txt", "a.dat", "a.lat", "a.utf", "a.id")
    fill(repository, {".gitattributes": attributes, **dict.fromkeys(names, "x\n")})
    fill(repository, {"big.bin": lfs(repository, b"x" * 5000), "deep/a.sec": "x", "deep/a.txt": ""})
    fill(repository, {"deep/.gitattributes": "*.sec !filter\n*.txt filter=own\n", ".env.sec": "x"})
    git(repository, "config", "filter.nbstripout.clean", "cat")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "filtered")
    git(repository, "tag", "v1")
    fill(repository, {".gitattributes": "* -filter -text\n"})
    git(repository, "commit", "-q", "-a", "-m", "later")
    (notice,) = survey(repository, [], "v1").notices
    wanted = ["a.id", "a.key-like", "a.lat", "a.sec", "a.txt", "deep/a.txt"]
    assert notice.source == str(repository)
    assert (notice.code, notice.count) == ("filters_not_applied", len(wanted))
    assert notice.paths == wanted


def test_files_that_git_would_change_are_counted_in_submodules_too(repository, tmp_path):
    fill(tmp_path / "other", {".gitattributes": "/s.py eol=crlf\n"})
    with_submodule(repository, tmp_path)
    (notice,) = survey(repository, [], "HEAD").notices
    assert (notice.code, notice.paths) == ("filters_not_applied", ["libs/s/s.py"])


@pytest.mark.parametrize("name", ["v1.lock2", "release.locked/1", "x" * 220, "a/" + "y" * 250])
def test_any_name_of_a_tag_that_git_takes_is_taken(repository, name):
    git(repository, "tag", name)
    assert resolve(repository, name) == git(repository, "rev-parse", "HEAD")


# --------------------------------------------------------------------------- repositories


def named(root: Path, data: tuple[Path, ...] = ()) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for notice in survey(root, data, None).notices:
        assert notice.source in {"", str(root), *map(str, data)}
        found.setdefault(notice.code, []).extend(notice.paths)
    return found


def test_a_repository_that_borrows_objects_is_named(repository, tmp_path):
    git(tmp_path, "clone", "-q", "--shared", str(repository), "clone")
    assert named(tmp_path / "clone") == {"git_alternates": ["clone"]}


def test_repositories_that_borrow_objects_are_named_wherever_they_lie(folder, tmp_path, repository):
    with_submodule(repository, tmp_path)
    root, data = fill(tmp_path / "new", {"a.py": "a"}), fill(tmp_path / "data", {"a": "a"})
    for name, kind in (("new/deep/clone", "--no-tags"), ("data/bare.git", "--bare")):
        git(tmp_path, "clone", "-q", "--shared", kind, str(repository), name)
    allowed = ("-c", "protocol.file.allow=always")
    git(root, *allowed, "clone", "-q", str(repository), "main")
    borrowed = ("--reference", str(tmp_path / "other"))
    git(root / "main", *allowed, "submodule", "-q", "update", "--init", *borrowed)
    inside = ["new/deep/clone", "new/main/.git/modules/libs/s"]
    assert named(root, (data,)) == {"git_alternates": [*inside, "data/bare.git"]}
    assert named(root, (data / "bare.git",)) == {"git_alternates": [*inside, "bare.git"]}


def test_a_repository_that_borrows_from_another_in_the_same_folder_works(repository, tmp_path):
    new = fill(tmp_path / "new", {"a.py": "a"})
    git(new, "clone", "-q", str(repository), "one")
    git(new, "clone", "-q", "--shared", "one", "two")
    fill(new, {"two/.git/objects/info/alternates": "../../../one/.git/objects\n"})
    made = tmp_path / "made"
    copy_tree(new, made, manifest=tmp_path / "manifest")
    assert git(made / "two", "log", "--format=%s") == "first"
    assert named(new) == {}


def test_a_linked_worktree_is_named(repository, tmp_path):
    git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    assert named(tmp_path / "tree") == {"git_elsewhere": ["tree"]}
    assert codes(repository) == []
    arrives(repository, tmp_path)


def test_folders_of_work_trees_that_lie_elsewhere_are_named(repository, tmp_path):
    new = fill(tmp_path / "new", {"a.py": "a"})
    data = fill(tmp_path / "data", {"a": "a"})
    git(repository, "worktree", "add", "-q", "-b", "one", str(new / "deep/one"))
    git(repository, "worktree", "add", "-q", "-b", "two", str(data / "two"))
    (new / "linked").mkdir()
    (new / "linked/.git").symlink_to("../../project/.git")
    assert named(new, (data,)) == {"git_elsewhere": ["new/deep/one", "new/linked", "data/two"]}


def test_submodules_whose_repositories_travel_are_not_named(repository, tmp_path):
    with_submodule(repository, tmp_path)
    assert named(repository) == {}


def test_a_sparse_checkout_travels_and_is_not_called_changed(repository, tmp_path):
    git(repository, "sparse-checkout", "set", "--no-cone", "/a.py")
    assert not (repository / "d").exists()
    assert project_version(repository).dirty_files == []
    assert codes(repository) == []
    made = arrives(repository, tmp_path)
    git(made, "sparse-checkout", "disable")
    assert (made / "d/b.py").read_text() == "b"


def test_a_version_of_a_sparse_checkout_is_whole(repository, tmp_path):
    git(repository, "sparse-checkout", "set", "--no-cone", "/a.py")
    commit = resolve(repository, "HEAD")
    made = tmp_path / "made"
    copy_tree(repository, made, manifest=tmp_path / "manifest", commit=commit)
    assert (made / "d/b.py").read_text() == "b"
    assert git(made, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    "words",
    [
        ("update-index", "--split-index"),
        ("sparse-checkout", "set", "--cone", "--sparse-index", "nothing"),
    ],
    ids=["split", "sparse"],
)
def test_an_index_that_only_git_reads_travels_and_is_named(repository, tmp_path, words):
    git(repository, *words)
    fill(repository, {"new.py": "new"})
    git(repository, "add", "new.py")
    version = project_version(repository)
    assert version.commit == git(repository, "rev-parse", "HEAD")
    assert not version.changes_known
    assert codes(repository) == ["changes_unknown"]
    arrives(repository, tmp_path)


def test_a_repository_of_sha256_travels_and_is_named(folder, tmp_path):
    root = folder({"a.py": "a"})
    git(root, "init", "-q", "--object-format=sha256")
    assert codes(root) == []  # nothing committed yet
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    assert codes(root) == ["git_unread"]
    arrives(root, tmp_path)


# --------------------------------------------------------------------------- environments, builds


def test_an_environment_inside_the_project_is_named(folder, tmp_path):
    root = folder({"a.py": "", "tools/conda/conda-meta/history": ""})
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / ".venv")], check=True)
    (notice,) = survey(root, [], None).notices
    assert (notice.code, sorted(notice.paths)) == ("venv_inside", [".venv", "tools/conda"])


@pytest.mark.parametrize(
    ("file", "content", "tool"),
    [
        ("pyproject.toml", '[build-system]\nrequires = ["setuptools-scm>=8"]\n', "setuptools-scm"),
        ("pyproject.toml", '[build-system]\nrequires = ["hatchling", "hatch-vcs"]\n', "hatch-vcs"),
        ("setup.py", "import versioneer\n", "versioneer"),
        ("requirements.txt", "setuptools_scm\n", "setuptools_scm"),
    ],
)
def test_a_build_that_needs_git_is_named(folder, file, content, tool):
    root = folder({file: content, "Dockerfile": f"FROM x\nCOPY {file} /x/\nRUN pip install /x\n"})
    (notice,) = survey(root, [], None).notices
    assert (notice.code, notice.params) == ("build_needs_git", {"file": file, "tool": tool})


def test_a_tool_that_the_build_is_not_sent_is_not_named(folder):
    root = folder({"pyproject.toml": 'requires = ["setuptools-scm"]', "Dockerfile": "FROM x\n"})
    assert codes(root) == []


# --------------------------------------------------------------------------- databases


def test_a_database_that_is_written_to_is_named_once(folder, tmp_path):
    """Its files are copied one after the other: a manifest may name a file that was gone by then."""
    old = 1_600_000_000
    busy = [
        "rocks/MANIFEST-000004",
        "pg/postmaster.pid",
        "my/ibdata1",
        "my/ib_logfile0",
        "a/x.duckdb.wal",
    ]
    still = ["calm/MANIFEST-000001", "calm/CURRENT", "es/write.lock", "runs.db-wal", "open-source"]
    root = fill(tmp_path / "new", dict.fromkeys([*busy, *still], "x"))
    data = fill(tmp_path / "data", {"a.csv": "1"})
    for name in (*still, "pg/postmaster.pid"):
        os.utime(root / name, (old, old))
    [notice] = survey(root, [data], None).notices
    assert (notice.code, notice.source) == ("database_in_use", str(root))
    assert sorted(notice.paths) == ["new/a/x.duckdb.wal", "new/my", "new/pg", "new/rocks"]


def test_runs_that_name_their_results_by_a_path_of_here_are_counted(folder, tmp_path):
    root = tmp_path / "new"
    here = {
        "mlruns/0/meta.yaml": f"artifact_location: file://{root}/mlruns/0\n",
        "mlruns/0/ab/meta.yaml": f"run_id: ab\nartifact_uri: '{root}/mlruns/0/ab/artifacts'\n",
    }
    others = {
        "mlruns/1/meta.yaml": "artifact_location: s3://bucket/1\n",
        "mlruns/2/meta.yaml": f"artifact_location: file://{root}er/mlruns/2\n",
        "meta.yaml": f"artifact_location: file://{root}\n",
    }
    fill(root, here | others)
    [notice] = survey(root, [], None).notices
    assert (notice.code, notice.source) == ("paths_inside", str(root))
    assert sorted(notice.paths) == sorted(f"new/{path}" for path in here)
