"""A record that can't be written or read: what a share does then, and what its owner is told."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from jupyter_secxops_migrate.model import MigrationState
from jupyter_secxops_migrate.operations.errors import (
    StoreCorrupt,
    StoreFull,
    StoreNewer,
    StoreReadOnly,
)
from jupyter_secxops_migrate.operations.store import Store

from .world import World, eventually

UseUp = Callable[[Path], contextlib.AbstractContextManager[None]]
MEGABYTES = 8
FILES = 400


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """A disk of a few megabytes and some hundred files."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk that can be filled")
    folder.mkdir()
    options = f"size={MEGABYTES}m,nr_inodes={FILES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Such a disk, for the record."""
    with mounted(tmp_path / "state") as folder:
        yield folder


def fill(disk: Path) -> Path:
    """Fill a disk up, and return the file that does."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    return ballast


@contextlib.contextmanager
def no_bytes(folder: Path) -> Iterator[None]:
    """Leave no room on a disk."""
    ballast = fill(folder)
    yield
    ballast.unlink()


@contextlib.contextmanager
def no_inodes(folder: Path) -> Iterator[None]:
    """Leave room for not one file more."""
    ballast = folder / "ballast"
    ballast.mkdir()
    with contextlib.suppress(OSError):
        for number in range(2 * FILES):
            (ballast / str(number)).touch()
    yield
    shutil.rmtree(ballast)


class Frees(logging.Handler):
    """Makes room at the very moment when it is logged that the end of a share failed."""

    def __init__(self, ballast: Path) -> None:
        super().__init__()
        self.ballast = ballast

    def emit(self, record: logging.LogRecord) -> None:
        if "could not clean up" in record.msg or "can't be ended" in record.msg:
            self.ballast.unlink(missing_ok=True)


@pytest.mark.root
def test_a_share_whose_record_is_full_ends_as_failed_once_there_is_room(
    small: Path, asleep: World
) -> None:
    asleep.start()
    asleep.engine.hang("build")
    shared = asleep.share()
    asleep.hangs_in("build")
    ballast = fill(small)

    with pytest.raises(StoreFull, match="full"):
        asleep.share()
    asleep.engine.release("build")
    runner = asleep.service.operations.runner  # type: ignore[union-attr]
    eventually(lambda: runner.attempt(shared.id).unwritten)
    ballast.unlink()

    ended = asleep.ended(shared.id)
    assert ended.state is MigrationState.FAILED
    assert ended.error is not None and ended.error.code == "store_full"
    assert asleep.engine.objects() == []
    # It goes on without a restart.
    again = asleep.share()
    assert asleep.ended(again.id).state is MigrationState.SUCCEEDED


@pytest.mark.root
def test_what_a_full_record_kept_from_being_removed_is_gone_when_the_share_has_ended(
    small: Path, asleep: World
) -> None:
    asleep.start()
    asleep.engine.hang("probe")  # there is an image by now
    shared = asleep.share()
    asleep.hangs_in("probe")
    frees = Frees(fill(small))
    logger = logging.getLogger("jupyter_secxops_migrate.operations.runner")
    logger.addHandler(frees)
    try:
        asleep.engine.release("probe")
        ended = asleep.ended(shared.id)
    finally:
        logger.removeHandler(frees)

    assert ended.error is not None and ended.error.code == "store_full"
    assert asleep.engine.objects() == []


@pytest.mark.root
def test_shares_go_on_or_say_why_where_there_is_no_room_for_a_file_more(
    small: Path, asleep: World
) -> None:
    asleep.start()
    asleep.engine.hang("build")
    first = asleep.share()
    asleep.hangs_in("build")
    with no_inodes(small):
        second = asleep.share()
        asleep.engine.release("build")
        ended = asleep.ended(first.id)
        # What meets it first: the record of the build's end, or the manifest of the copy beside it.
        assert ended.error is not None and ended.error.code in ("store_full", "disk_full")
    assert asleep.ended(second.id).state is MigrationState.SUCCEEDED


@pytest.mark.root
@pytest.mark.parametrize("use_up", [no_bytes, no_inodes])
def test_a_share_ends_though_the_workflows_record_alone_is_full(
    tmp_path: Path, asleep: World, use_up: UseUp
) -> None:
    with mounted(tmp_path / "small") as folder:
        (asleep.data_dir / "dbos.sqlite").symlink_to(folder / "dbos.sqlite")
        asleep.start()
        asleep.engine.hang("build")
        shared = asleep.share()
        asleep.hangs_in("build")
        with use_up(folder):
            asleep.engine.release("build")
            ended = asleep.ended(shared.id)
            assert ended.state is MigrationState.FAILED
            assert ended.error is not None and ended.error.code == "store_full"
            assert asleep.engine.objects() == []
        # It goes on, also through a restart, without what has ended.
        assert asleep.ended(asleep.share().id).state is MigrationState.SUCCEEDED
        asleep.stop()
        asleep.start()
        assert asleep.get(shared.id).state is MigrationState.FAILED
        asleep.stop()


def opened(folder: Path) -> Store:
    store = Store(f"sqlite:///{folder / 'store.sqlite'}", [])
    try:
        store.open()
    finally:
        store.close()
    return store


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"no database at all, but of some length" * 100)
    with pytest.raises(StoreCorrupt, match=r"store\.sqlite"):
        opened(tmp_path)


def test_the_record_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    store = opened(tmp_path)
    engine = sa.create_engine(store.url)
    with engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreNewer):
        opened(tmp_path)


@pytest.mark.root
def test_a_record_that_may_only_be_read_is_named(small: Path) -> None:
    opened(small)
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    with pytest.raises(StoreReadOnly, match=r"store\.sqlite"):
        opened(small)
