"""Sources that are written to, torn down, swapped or made to hurt while they are copied."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_secxops_migrate.copying.account import Progress
from jupyter_secxops_migrate.copying.content import same_blocks
from jupyter_secxops_migrate.copying.credentials import Selection
from jupyter_secxops_migrate.copying.destination import FILE_SYSTEMS_OWN
from jupyter_secxops_migrate.copying.errors import CopyFailed, DiskFull, FileChanging, VerifyFailed
from jupyter_secxops_migrate.copying.git import holds_credentials
from jupyter_secxops_migrate.copying.tree import copy_tree
from jupyter_secxops_migrate.copying.verify import verify_tree

from .conftest import root_only, snapshot

Write = Callable[..., Path]

# --------------------------------------------------------------------------- any tree at all

NAME = (
    st.binary(min_size=1, max_size=12)
    .filter(lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name)
    .filter(lambda name: not name.startswith(b".secxops"))
    # What stays behind, or is judged by itself, because of its name has tests of its own.
    .filter(lambda name: name != FILE_SYSTEMS_OWN and Selection().by_name(name, name) is None)
    .filter(
        lambda name: not Selection().by_itself(name, name) and not holds_credentials(None, name)
    )
)
LEAF = st.one_of(
    st.tuples(
        st.just("file"), st.binary(max_size=2000), st.sampled_from([0o644, 0o400, 0o755, 0o1600])
    ),
    st.tuples(st.just("sparse"), st.integers(1, 3_000_000), st.binary(min_size=1, max_size=10)),
    st.tuples(st.just("link"), st.binary(min_size=1, max_size=40).filter(lambda t: b"\0" not in t)),
    st.tuples(st.just("hard")),
    st.tuples(st.just("fifo")),
)
TREE: Any = st.recursive(
    LEAF, lambda below: st.dictionaries(NAME, below, max_size=5), max_leaves=25
)


BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "copy.py"


def build(path: bytes, tree: Any, files: list[bytes]) -> None:
    if isinstance(tree, dict):
        os.mkdir(path)
        for name, below in tree.items():
            build(path + b"/" + name, below, files)
        os.utime(path, ns=(1, len(tree) * 1_000_000_007))
        return
    kind = tree[0]
    if kind == "file":
        with open(path, "wb") as file:
            file.write(tree[1])
        os.chmod(path, tree[2])
        files.append(path)
    elif kind == "sparse":
        with open(path, "wb") as file:
            file.truncate(tree[1])
            file.seek(tree[1] // 2)
            file.write(tree[2])
        files.append(path)
    elif kind == "link":
        os.symlink(tree[1], path)
    elif kind == "hard" and files:
        os.link(files[len(path) % len(files)], path)
    elif kind == "fifo":
        os.mkfifo(path)


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=st.dictionaries(NAME, TREE, max_size=6), workers=st.sampled_from([1, 2]))
def test_any_tree_is_copied_and_verifies(
    tree: dict[bytes, Any], workers: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("any")
    build(os.fsencode(place / "source"), tree, [])
    copy_tree(place / "source", place / "copy", manifest=place / "m", workers=workers)
    left = {
        name: facts
        for name, facts in snapshot(place / "source").items()
        if facts[0] == "link" or facts[0] in ("file", "folder")
    }
    pipes = [name for name in left if (place / "source" / os.fsdecode(name)).is_fifo()]
    assert snapshot(place / "copy") == {n: f for n, f in left.items() if n not in pipes}
    paths = [line.split(b"  ", 1)[1] for line in (place / "m").read_bytes().split(b"\n")[:-1]]
    assert len(paths) == sum(facts[0] == "file" for facts in left.values())
    verify_tree(place / "copy", manifest=place / "m", workers=workers)


def test_a_tree_deeper_than_any_path(tmp_path: Path, write: Write) -> None:
    """Fifteen hundred levels: no path to the innermost file can be said, and few descriptors suffice."""
    top = tmp_path / "source"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for level in range(1500):
        os.mkdir("level", dir_fd=here)
        below = os.open("level", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
        if level % 500 == 0:
            os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)
    result = copy_tree(top, tmp_path / "copy", manifest=tmp_path / "m")
    assert result.files == 3
    assert verify_tree(tmp_path / "copy", manifest=tmp_path / "m").files == 3
    for folder in ("source", "copy"):
        subprocess.run(["rm", "-rf", "--", str(tmp_path / folder)], check=True)


def test_ten_thousand_names_of_one_file(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    first = write(source / "0000/0000", os.urandom(100_000))
    for number in range(1, 10_000):
        path = source / f"{number // 1000:04d}/{number:04d}"
        path.parent.mkdir(exist_ok=True)
        os.link(first, path)
    result = copy_tree(source, destination, manifest=manifest)
    assert (result.files, result.bytes) == (10_000, 100_000)
    assert (destination / "0009/9999").stat().st_nlink == 10_000
    assert verify_tree(destination, manifest=manifest).files == 10_000


def test_a_link_outside_the_tree_does_not_matter(
    source: Path, destination: Path, manifest: Path, tmp_path: Path, write: Write
) -> None:
    os.link(write(tmp_path / "outside", "x"), source / "inside")
    copy_tree(source, destination, manifest=manifest)
    verify_tree(destination, manifest=manifest)
    assert (destination / "inside").stat().st_nlink == 1


def test_ten_gigabytes_of_nothing_stay_nothing(
    source: Path, destination: Path, manifest: Path
) -> None:
    with (source / "sparse").open("wb") as file:
        file.truncate(10 << 30)
        file.seek(5 << 30)
        file.write(b"something")
    result = copy_tree(source, destination, manifest=manifest)
    assert result.bytes == 10 << 30
    made = (destination / "sparse").stat()
    assert made.st_size == 10 << 30
    assert made.st_blocks * 512 < 1 << 20


# --------------------------------------------------------------------------- while it is copied


@contextlib.contextmanager
def meanwhile(do: Callable[[], object], pause: float = 0.0) -> Iterator[None]:
    """Do something over and over in a thread."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            do()
            time.sleep(pause)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def touching(name: str, times: int, change: Callable[[Path], object]) -> Callable[..., int]:
    """A writer that changes the source while its copy is written, the first ``times`` times."""
    left = [times]

    def write(descriptor: int, data: memoryview) -> int:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.name == name and left[0]:
            left[0] -= 1
            change(path.parents[1] / "source" / name)
        return os.write(descriptor, data)

    return write


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def test_a_file_that_changes_is_copied_again_until_it_holds_still(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / "log", "x" * 1000)
    copy_tree(source, destination, manifest=manifest, write=touching("log", 2, append), workers=1)
    assert (destination / "log").read_bytes() == b"x" * 1000 + b"more" * 2
    assert snapshot(destination) == snapshot(source)


def test_a_file_that_never_holds_still_is_named(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / "a-quiet-one", "x")
    write(source / "log", "x" * 1000)
    with pytest.raises(FileChanging) as caught:
        copy_tree(
            source, destination, manifest=manifest, write=touching("log", 99, append), workers=1
        )
    assert caught.value.params["first"] == "log"
    assert caught.value.params["count"] == 1


def test_a_file_that_shrinks_is_copied_again(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / "log", os.urandom(3 << 20))
    copy_tree(
        source,
        destination,
        manifest=manifest,
        write=touching("log", 1, lambda path: os.truncate(path, 100)),
        workers=1,
    )
    assert (destination / "log").stat().st_size == 100


def test_a_file_that_vanishes_is_listed(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / "a", "x")
    write(source / "b", "x")
    write(source / "gone/c", "x")

    def remove(path: Path) -> None:
        (source / "b").unlink()
        (source / "gone/c").unlink()
        (source / "gone").rmdir()

    result = copy_tree(
        source, destination, manifest=manifest, write=touching("a", 1, remove), workers=1
    )
    assert [row.name for row in result.skipped] == ["b", "gone/c"]
    assert {row.reason for row in result.skipped} == {"vanished while it was copied"}
    verify_tree(destination, manifest=manifest)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_swapped_for_a_link_leads_nowhere(
    source: Path, destination: Path, manifest: Path, tmp_path: Path, write: Write, workers: int
) -> None:
    write(tmp_path / "outside/secret", "do not copy me")
    for number in range(400):
        write(source / f"{number:03d}/secret", "harmless")
    swapped = source / "victim"
    write(swapped / "secret", "harmless")

    def swap() -> None:
        for number in range(0, 400, 7):
            folder = source / f"{number:03d}"
            os.rename(folder, tmp_path / "away")
            folder.symlink_to(tmp_path / "outside")
            folder.unlink()
            os.rename(tmp_path / "away", folder)

    copier = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "jupyter_secxops_migrate.copying",
                str(source),
                str(destination),
            ),
            *("--manifest", str(manifest), "--workers", str(workers)),
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
        text=True,
    )
    while copier.poll() is None:
        swap()
    for path in destination.rglob("secret"):
        assert path.is_symlink() or path.read_text() == "harmless"
    if copier.returncode:
        # What was met away from its place and is moved to the very end is named instead.
        assert "kept changing during the copy" in copier.communicate()[1]
    else:
        verify_tree(destination, manifest=manifest)


# --------------------------------------------------------------------------- databases in use


def test_a_database_in_use_is_copied_whole(source: Path, destination: Path, manifest: Path) -> None:
    database = sqlite3.connect(source / "runs.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute("CREATE TABLE run (n INTEGER)")
    database.executemany("INSERT INTO run VALUES (?)", [(n,) for n in range(1000)])
    assert (source / "runs.db-wal").stat().st_size > 10_000
    result = copy_tree(source, destination, manifest=manifest)
    database.close()
    assert os.listdir(destination) == ["runs.db"]
    copy = sqlite3.connect(destination / "runs.db")
    assert copy.execute("SELECT count(*) FROM run").fetchone() == (1000,)
    copy.close()
    assert {row.name for row in result.skipped} == {"runs.db-wal", "runs.db-shm"}
    meta = [json.loads(line) for line in Path(f"{manifest}.meta").read_text().splitlines()]
    assert [row["flags"] for row in meta if row.get("path") == "runs.db" and "flags" in row] == [
        ["sqlite-backup"]
    ]


@pytest.mark.parametrize("with_shm", [True, False])
def test_a_database_that_was_left_in_the_middle_is_recovered(
    source: Path, destination: Path, manifest: Path, with_shm: bool
) -> None:
    """As after a crash: a log that only its database's next opening would take in, and no lock."""
    script = (
        "import sqlite3, os; d = sqlite3.connect('runs.db', isolation_level=None);"
        "d.execute('PRAGMA journal_mode=WAL'); d.execute('PRAGMA wal_autocheckpoint=0');"
        "d.execute('CREATE TABLE run (n)'); d.execute('INSERT INTO run VALUES (7)');"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=source, check=False)
    if not with_shm:
        (source / "runs.db-shm").unlink()
    before = snapshot(source)
    copy_tree(source, destination, manifest=manifest)
    assert snapshot(source) == before
    copy = sqlite3.connect(destination / "runs.db")
    assert copy.execute("SELECT n FROM run").fetchone() == (7,)
    copy.close()


@root_only
@pytest.mark.root
def test_a_database_in_use_is_copied_whole_from_a_read_only_mount(
    source: Path, destination: Path, manifest: Path, tmp_path: Path
) -> None:
    database = sqlite3.connect(source / "runs.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE run (n INTEGER)")
    database.execute("INSERT INTO run VALUES (7)")
    mount = tmp_path / "mount"
    mount.mkdir()
    subprocess.run(["mount", "--bind", str(source), str(mount)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(mount)], check=True)
        copy_tree(mount, destination, manifest=manifest)
    finally:
        subprocess.run(["umount", str(mount)], check=True)
        database.close()
    copy = sqlite3.connect(destination / "runs.db")
    assert copy.execute("SELECT n FROM run").fetchone() == (7,)
    copy.close()


def test_a_database_in_the_middle_of_a_transaction_is_copied_as_it_was_before(
    source: Path, destination: Path, manifest: Path
) -> None:
    database = sqlite3.connect(source / "runs.db", isolation_level=None)
    database.execute("CREATE TABLE run (n)")
    database.execute("PRAGMA cache_size=1")
    database.execute("BEGIN")
    database.executemany("INSERT INTO run VALUES (?)", [("x" * 4000,) for _ in range(500)])
    assert (source / "runs.db-journal").exists()
    copy_tree(source, destination, manifest=manifest)
    database.execute("ROLLBACK")
    database.close()
    copy = sqlite3.connect(destination / "runs.db")
    assert copy.execute("SELECT count(*) FROM run").fetchone() == (0,)
    copy.close()


def test_what_only_looks_like_a_database_is_copied_as_it_is(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    write(source / "broken.db", b"SQLite format 3\0" + os.urandom(5000))
    write(source / "broken.db-wal", os.urandom(500))
    write(source / "notes-wal", "no database of mine")
    copy_tree(source, destination, manifest=manifest)
    assert (destination / "broken.db").read_bytes() == (source / "broken.db").read_bytes()
    assert (destination / "notes-wal").read_text() == "no database of mine"


# --------------------------------------------------------------------------- being ended


@pytest.fixture
def slow_source(source: Path) -> Path:
    """About ten seconds of hashing, without a byte on disk."""
    for number in range(4):
        with (source / f"sparse-{number}").open("wb") as file:
            file.truncate(40 << 30)
    for number in range(50):
        (source / f"a-{number}").write_bytes(os.urandom(5000))
    return source


def start(source: Path, destination: Path, manifest: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "jupyter_secxops_migrate.copying",
                str(source),
                str(destination),
            ),
            *("--manifest", str(manifest), "--workers", "2", "--json"),
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 20
    while not (destination / "sparse-0").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def children(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_within_a_second_and_the_next_one_takes_over(
    slow_source: Path, destination: Path, manifest: Path, number: signal.Signals
) -> None:
    process = start(slow_source, destination, manifest)
    workers = children(process.pid)
    assert len(workers) == 2
    process.send_signal(number)
    started = time.monotonic()
    assert process.wait(5) in (128 + number, -number)
    while any(map(alive, workers)):
        assert time.monotonic() - started < 2
        time.sleep(0.01)
    assert process.stdout is not None
    process.stdout.close()
    assert time.monotonic() - started < 1
    assert (destination / ".secxops-incomplete").exists()
    assert not manifest.exists()

    for path in slow_source.glob("sparse-*"):
        path.unlink()
    copy_tree(slow_source, destination, manifest=manifest)
    assert snapshot(destination) == snapshot(slow_source)


def test_a_worker_that_is_killed_fails_the_copy(
    slow_source: Path, destination: Path, manifest: Path
) -> None:
    process = start(slow_source, destination, manifest)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    out, _ = process.communicate(timeout=10)
    last = json.loads(out.splitlines()[-1])
    assert (process.returncode, last["code"]) == (1, CopyFailed.code)


def test_progress_grows_to_the_total(
    source: Path, destination: Path, manifest: Path, write: Write
) -> None:
    seen: list[Progress] = []
    for number in range(300):
        write(source / str(number), "x" * number)
    copy_tree(source, destination, manifest=manifest, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == Progress(300, sum(range(300)), 300, sum(range(300)))


# --------------------------------------------------------------------------- no room


@root_only
@pytest.mark.root
def test_a_full_disk_says_so(source: Path, destination: Path, manifest: Path, write: Write) -> None:
    for number in range(30):
        write(source / str(number), os.urandom(100_000))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(destination)], check=True)
    try:
        with pytest.raises(DiskFull) as caught:
            copy_tree(source, destination, manifest=manifest)
        assert caught.value.message == "The disk became full during the copy."
        assert not manifest.exists()
    finally:
        subprocess.run(["umount", str(destination)], check=True)


def test_no_room_for_the_manifest(source: Path, destination: Path, write: Write) -> None:
    write(source / "x", "y")
    with pytest.raises((CopyFailed, DiskFull)):
        copy_tree(source, destination, manifest="/dev/full/m")


def test_a_manifest_of_another_copy_is_refused(
    source: Path, destination: Path, manifest: Path, tmp_path: Path, write: Write
) -> None:
    write(source / "x", "y")
    copy_tree(source, destination, manifest=manifest)
    manifest.write_bytes(b"0" * 64 + b"  z\n")
    with pytest.raises(CopyFailed, match="do not belong together"):
        verify_tree(destination, manifest=manifest)
    manifest.write_text("rubbish\n")
    with pytest.raises(CopyFailed, match="not one of b3sum's"):
        verify_tree(destination, manifest=manifest)
    manifest.write_bytes(b"")
    with pytest.raises((CopyFailed, VerifyFailed)):
        verify_tree(destination, manifest=manifest)


def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("benchmark", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.soak
def test_memory_does_not_grow_with_the_tree(tmp_path: Path) -> None:
    """200 MB resident for all processes together at 500,000 files.

    What two smaller trees need tells it, by a straight line through both; the benchmark makes all files.
    """
    bench = benchmark()
    few, many = 20_000, 60_000
    bench.make_many(tmp_path / "source", 0, few)
    with_few = bench.peak(tmp_path / "source", tmp_path / "few")
    bench.make_many(tmp_path / "source", few, many)
    with_many = bench.peak(tmp_path / "source", tmp_path / "many")
    for_each = max(0.0, (with_many - with_few) / (many - few))
    assert with_many + for_each * (500_000 - many) <= 200e6, (with_few, with_many)


# --------------------------------------------------------------------------- shared blocks


@root_only
@pytest.mark.root
@pytest.mark.skipif(shutil.which("mkfs.xfs") is None, reason="needs xfsprogs")
def test_a_file_system_that_shares_blocks_copies_without_writing(
    tmp_path: Path, write: Write
) -> None:
    image, mount = tmp_path / "image", tmp_path / "mount"
    with image.open("wb") as file:
        file.truncate(512 << 20)
    mount.mkdir()
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True)
    try:
        first = write(mount / "source/a", os.urandom(3_000_001))
        write(mount / "source/b", b"small")
        write(mount / "source/c", os.urandom(3_000_001))
        with (mount / "source/sparse").open("wb") as file:
            file.truncate(50 << 20)
            for place in range(20):
                file.seek(place << 21)
                file.write(os.urandom(9000))
        copy_tree(mount / "source", mount / "copy", manifest=tmp_path / "m")
        assert snapshot(mount / "copy") == snapshot(mount / "source")
        verify_tree(mount / "copy", manifest=tmp_path / "m")

        def shared(one: Path, other: Path) -> bool:
            with one.open("rb") as left, other.open("rb") as right:
                return same_blocks(left.fileno(), right.fileno(), one.stat().st_size)

        assert shared(first, mount / "copy/a")
        assert shared(mount / "source/sparse", mount / "copy/sparse")
        assert not shared(first, mount / "source/c")
        with (mount / "copy/a").open("r+b") as file:
            file.seek(2_000_000)
            file.write(b"!")
        os.sync()
        assert not shared(first, mount / "copy/a")
    finally:
        subprocess.run(["umount", str(mount)], check=True)
