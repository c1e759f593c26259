"""What a folder has where a volume of an image would lie over it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from folders import git

from jupyter_secxops_migrate.project.covered import what_is_at

NOBODY = 65534
FILES = {"cache/deep/a.npy": "1", "file": "2"}


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("cache", "folder"),
        ("cache/deep", "folder"),
        ("cache/deep/a.npy", "other"),
        ("cache/deep/a.npy/x", "other"),
        ("file", "other"),
        ("link", "other"),
        ("link/deep", "other"),
        ("nowhere/at/all", "nothing"),
        ("cache/nowhere", "nothing"),
    ],
)
def test_a_place_is_the_same_in_a_work_tree_and_in_a_commit(repository, path, there):
    root = repository(FILES)
    (root / "link").symlink_to("cache")
    git(root, "add", "link")
    git(root, "commit", "-qm", "link")
    commit = git(root, "rev-parse", "HEAD").strip()
    assert what_is_at(root, path, None) == there
    assert what_is_at(root, path, commit) == there


@pytest.mark.parametrize("path", ["empty", "a\0b", "\ud800", "x" * 300])
def test_there_is_nothing_in_an_empty_folder_nor_at_a_name_that_nothing_can_have(folder, path):
    root = folder(FILES)
    (root / "empty").mkdir()
    assert what_is_at(root, path) == "nothing"


def test_a_folder_that_cannot_be_looked_into_is_there():
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "cache" / "deep").mkdir(parents=True)
        (root / "cache").chmod(0)
        os.seteuid(user or NOBODY)  # root can look into anything
        try:
            assert what_is_at(root, "cache/deep") == "folder"
        finally:
            os.seteuid(user)
            (root / "cache").chmod(0o700)
