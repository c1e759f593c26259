"""What a look from inside says of a copy that is hidden, spoilt or locked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from jupyter_secxops_migrate.copying import inside
from jupyter_secxops_migrate.copying.manifest import meta_path
from jupyter_secxops_migrate.copying.own import own_tree
from jupyter_secxops_migrate.copying.tree import copy_tree
from jupyter_secxops_migrate.environment.survey import survey

NOBODY = 65534


class Copy:
    """A copy of a small project, and the look at it."""

    def __init__(self, folder: Path) -> None:
        source, self.path, self.manifest = folder / "source", folder / "copy", folder / "code.b3"
        (source / "sub" / "deep").mkdir(parents=True)
        (source / "train.py").write_text("train()\n")
        (source / "sub" / "a.csv").write_text("1,2\n")
        (source / "sub" / "deep" / "b.csv").write_text("3,4\n")
        (source / "link").symlink_to("/nowhere")
        Path(os.fsdecode(os.fsencode(source) + b"/\xff\n")).write_text("odd")
        os.link(source / "train.py", source / "zz.py")
        self.path.mkdir()
        copy_tree(source, self.path, manifest=self.manifest)

    def seen(self, *mounts: str, own: bool = True, same: Sequence[str] = ()) -> Mapping[str, Any]:
        root = os.fsencode(self.path)
        there = [root] if own else []
        there += [root + b"/" + os.fsencode(name) for name in mounts]
        of_it = [root + b"/" + os.fsencode(name) for name in same]
        with open(meta_path(self.manifest), "rb") as lines:
            return inside.look(root, lines, there, writes=True, own=of_it).as_dict()


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def wrong(found: Mapping[str, Any]) -> dict[str, list[str]]:
    return {kind: names for kind, names in found["first"].items() if names}


def test_a_whole_copy_is_seen_with_all_its_paths(copy: Copy) -> None:
    found = copy.seen()

    assert wrong(found) == {}
    assert found["paths"] == 9  # its root, two folders, five files, one link


def test_what_was_written_since_then_is_of_no_interest(copy: Copy) -> None:
    (copy.path / ".ipynb_checkpoints").mkdir()
    (copy.path / "train.py").write_text("changed by whoever works there already\n")

    assert wrong(copy.seen()) == {}


def test_what_was_removed_or_replaced_is_named(copy: Copy) -> None:
    shutil.rmtree(copy.path / "sub" / "deep")
    (copy.path / "train.py").unlink()
    (copy.path / "train.py").mkdir()

    found = copy.seen()

    assert wrong(found) == {"hidden": ["sub/deep", "sub/deep/b.csv", "train.py"]}
    assert found["hidden"] == 3


def test_another_mount_hides_what_lies_below_it_though_equal_files_are_there(copy: Copy) -> None:
    found = copy.seen("sub")

    assert wrong(found) == {"hidden": ["sub/a.csv", "sub/deep", "sub/deep/b.csv"]}
    assert found["covers"] == [str(copy.path / "sub")]


def test_a_mount_of_the_same_volume_hides_nothing_but_another_one_in_it_does(copy: Copy) -> None:
    assert wrong(copy.seen("sub", same=["sub"])) == {}
    assert wrong(copy.seen("sub", "sub/deep", same=["sub"])) == {"hidden": ["sub/deep/b.csv"]}


def test_a_mount_beside_what_was_copied_hides_nothing(copy: Copy) -> None:
    assert wrong(copy.seen("cache", "su", "sub/deep/er")) == {}


def test_without_its_own_mount_nothing_of_it_is_there(copy: Copy) -> None:
    found = copy.seen(own=False)

    assert found["hidden"] == found["paths"] - 1  # a folder has to be there to be mounted over


def test_only_the_first_paths_are_named_and_all_are_counted(copy: Copy, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for n in range(inside.SAMPLE + 7):
        (many / f"{n:03d}").write_text("x")
    gone = tmp_path / "gone"
    gone.mkdir()
    copy_tree(many, gone, manifest=tmp_path / "many.b3")
    shutil.rmtree(gone)
    with open(meta_path(tmp_path / "many.b3"), "rb") as lines:
        found = inside.look(os.fsencode(gone), lines, [os.fsencode(gone)], writes=False).as_dict()

    assert found["hidden"] == inside.SAMPLE + 8
    assert len(found["first"]["hidden"]) == inside.SAMPLE


def test_mount_points_are_read_as_the_kernel_writes_them() -> None:
    table = [b"22 1 0:21 /data/x /home/a\\040b\\134c rw,nosuid - ext4 /dev/sda rw\n"]

    assert inside.mount_points(table) == [b"/home/a b\\c"]


def as_nobody(copy: Copy) -> Mapping[str, Any]:
    """Look as another user, in a process of its own."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writing, json.dumps(copy.seen()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as said:
        found: Mapping[str, Any] = json.load(said)
    return found


@pytest.mark.root
def test_its_user_sees_what_it_may_not_read_or_write(copy: Copy, tmp_path: Path) -> None:
    for path in tmp_path.parents:
        if path.stat().st_uid == os.getuid() and path.name.startswith(("pytest-", "popen-")):
            path.chmod(0o755)
    tmp_path.chmod(0o755)
    before, after = (os.getuid(), os.getgid()), (NOBODY, NOBODY)
    (copy.path / "sub" / "deep" / "b.csv").chmod(0o600)
    assert wrong(as_nobody(copy))["unreadable"] == ["sub/deep/b.csv"]
    assert "train.py" in wrong(as_nobody(copy))["unwritable"]

    own_tree(copy.path, manifest=copy.manifest, before=before, after=after)
    assert wrong(as_nobody(copy)) == {}

    os.chown(copy.path / "sub", 0, 0)
    (copy.path / "sub").chmod(0o700)
    assert wrong(as_nobody(copy)) == {
        "unreadable": ["sub", "sub/a.csv", "sub/deep", "sub/deep/b.csv"]
    }
    # A plan of what stays its owners' counts the same.
    assert survey(copy.path, [], None).others[str(copy.path)].barred == 4


@pytest.mark.root
def test_what_only_root_can_read_by_its_mode_is_told_apart(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    copy = Copy(made)
    shutil.rmtree(copy.path)
    copy.path.mkdir()
    (made / "source" / "sub" / "a.csv").chmod(0o000)
    (made / "source" / "sub" / "deep").chmod(0o000)
    (made / "source" / "train.py").chmod(0o444)
    copy.manifest.unlink()
    copy_tree(made / "source", copy.path, manifest=copy.manifest)
    for path in (made, tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.getuid() and "pytest" in str(path):
            path.chmod(0o755)
    own_tree(
        copy.path,
        manifest=copy.manifest,
        before=(os.getuid(), os.getgid()),
        after=(NOBODY, NOBODY),
    )

    assert wrong(as_nobody(copy)) == {"locked": ["sub/a.csv", "sub/deep", "sub/deep/b.csv"]}
