"""What is looked up at the end in the copy of a repository: nothing that its refs need may be missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_secxops_migrate.copying.again import Folder, SecondLook
from jupyter_secxops_migrate.copying.repository import lacks_objects
from jupyter_secxops_migrate.copying.walk import open_root

from .test_git import git

Write = Callable[..., Path]
TOPS = pytest.mark.parametrize("top", ["", "deep/x.git"], ids=["root", "nested"])


@pytest.fixture
def trees(tmp_path: Path, top: str) -> tuple[Path, Path]:
    """Make a bare repository at ``top`` in a folder, and a copy of the folder."""
    work = tmp_path / "work"
    (work / "d").mkdir(parents=True)
    (work / "d" / "a.py").write_text("a")
    git(work, "init", "-q", "-b", "main")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "first")
    source, made = tmp_path / "source", tmp_path / "made"
    (source / top).parent.mkdir(parents=True, exist_ok=True)
    git(tmp_path, "clone", "-q", "--bare", "--no-hardlinks", str(work), str(source / top))
    shutil.copytree(source, made)
    return source, made


def lacks(source: Path, made: Path, top: str) -> bool:
    roots = open_root(made), open_root(source)
    try:
        return lacks_objects(*roots, os.fsencode(top))
    finally:
        for root in roots:
            os.close(root)


def loose(root: Path) -> list[Path]:
    return sorted(root.glob("objects/??/*"))


@TOPS
def test_a_whole_repository_lacks_nothing(trees: tuple[Path, Path], top: str) -> None:
    assert loose(trees[1] / top)
    assert not lacks(*trees, top)


@TOPS
@pytest.mark.parametrize("number", range(4))
def test_each_object_that_is_gone_is_missed(
    trees: tuple[Path, Path], top: str, number: int
) -> None:
    loose(trees[1] / top)[number].unlink()
    assert lacks(*trees, top)


@TOPS
@pytest.mark.parametrize("gone", ["objects", "refs"])
def test_a_folder_that_is_gone_is_judged_by_what_it_leaves(
    trees: tuple[Path, Path], top: str, gone: str
) -> None:
    shutil.rmtree(trees[1] / top / gone)
    # Without its refs the copy needs only what packed-refs names, and that is there.
    assert lacks(*trees, top) == (gone == "objects")


@TOPS
def test_an_object_that_only_the_source_can_read_is_missed(
    trees: tuple[Path, Path], top: str
) -> None:
    def spoil(root: Path) -> None:
        for path in loose(root / top):
            path.chmod(0o600)
            path.write_bytes(b"spoilt")

    spoil(trees[1])
    assert lacks(*trees, top)
    spoil(trees[0])
    assert not lacks(*trees, top)  # it is a true copy


class Losing:
    """A copy of a repository of which a file is gone whenever it is asked for."""

    def __init__(self, top: bytes, path: bytes) -> None:
        self.top, self.path = top, path

    def folders(self) -> Iterator[Folder]:
        yield Folder(self.top, b"", None)

    def settle(self) -> Iterator[None]:
        yield from ()

    def lost(self) -> list[bytes]:
        return [self.path]


@TOPS
def test_a_file_that_is_gone_from_a_repository_is_named(trees: tuple[Path, Path], top: str) -> None:
    path = os.fsencode(str(Path(top, "objects/gone")))
    roots = open_root(trees[0]), open_root(trees[1])
    look = SecondLook(Losing(os.fsencode(top), path), *roots, 0, 1)  # type: ignore[arg-type]
    list(look.run())
    for root in roots:
        os.close(root)
    assert look.changing == [path]
