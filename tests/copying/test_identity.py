"""What is copied is the folder that was looked at, whatever its path has come to mean."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jupyter_secxops_migrate.copying.errors import SourceReplaced
from jupyter_secxops_migrate.copying.identity import identity_of, inode_only, insist_same
from jupyter_secxops_migrate.copying.tree import copy_tree


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    """Two people's projects, in a folder to which both may write."""
    for name in ("anne", "bert"):
        (tmp_path / name / "project").mkdir(parents=True)
        (tmp_path / name / "project" / "file").write_text(name)
    return tmp_path


def swap(homes: Path, part: str) -> None:
    (homes / "anne" / part).rename(homes / "kept")
    (homes / "anne" / part).symlink_to(homes / "bert" / part)


@pytest.mark.parametrize("part", ["project", "."])
@pytest.mark.parametrize("shorten", [str, inode_only])
def test_a_folder_that_was_exchanged_is_not_copied(homes, manifest, part, shorten):
    source = homes / "anne" / "project"
    identity = shorten(identity_of(source))
    copy_tree(source, homes / "first", manifest=manifest, identity=identity)
    if part == ".":
        (homes / "anne").rename(homes / "kept")
        (homes / "anne").symlink_to(homes / "bert")
    else:
        swap(homes, part)
    with pytest.raises(SourceReplaced):
        copy_tree(source, homes / "second", manifest=manifest, identity=identity)
    assert not (homes / "second" / "file").exists()


def test_a_link_on_the_way_has_no_identity(homes):
    swap(homes, "project")
    with pytest.raises(OSError, match=r"Not a directory|Too many"):
        identity_of(homes / "anne" / "project")


def test_numbers_of_another_kernel_are_not_compared(homes):
    inode, device = "1", "2"
    descriptor = os.open(homes, os.O_RDONLY)
    try:
        insist_same(descriptor, f"{inode}:{device}@another", "x")
        insist_same(descriptor, "", "x")
        with pytest.raises(SourceReplaced):
            insist_same(descriptor, inode, "x")
    finally:
        os.close(descriptor)
