"""A service that stands still, whose lock nobody gives back, or that can't start: what one is told."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from web.service import TESTS, command, end, wait_until

from jupyter_secxops_migrate.client import MigrationClient, ensure_service
from jupyter_secxops_migrate.errors import SecxopsError
from jupyter_secxops_migrate.model import Event, ShareRequest
from jupyter_secxops_migrate.runtime import Runtime

SECONDS = 5
# What a start imports takes two of them, and more where other tests run beside.
STARTS_SECONDS = 20
SERVICE = [sys.executable, "-m", "jupyter_secxops_migrate.serve"]


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setenv("SECXOPS_DATA_DIR", str(tmp_path / "secxops"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHONPATH", str(TESTS.parent))
    found = Runtime.find()
    yield found
    end(found)


def program(words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(words)])


def is_stopped(pid: int) -> bool:
    return ") T " in Path(f"/proc/{pid}/stat").read_text("utf-8")


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: is_stopped(pid))
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def told(
    runtime: Runtime, words: list[str] | None = None, seconds: float = SECONDS
) -> SecxopsError:
    """The error of somebody who needs a service, within seconds."""

    async def need() -> None:
        await asyncio.wait_for(
            asyncio.to_thread(ensure_service, runtime, words or command()), seconds
        )

    with pytest.raises(SecxopsError) as error:
        asyncio.run(need())
    return error.value


# --------------------------------------------------------------------------- it stands still


async def _list(api: MigrationClient) -> None:
    await api.list()


async def _follow(api: MigrationClient) -> None:
    async for _ in api.events():
        pass


async def _open(_: MigrationClient) -> None:
    async with MigrationClient() as another:
        await another.list()


@pytest.mark.parametrize("call", [_list, _follow, _open])
def test_a_service_that_is_suspended_is_named(
    runtime: Runtime, call: Callable[[MigrationClient], Awaitable[None]]
) -> None:
    async def work() -> None:
        async with MigrationClient(runtime=runtime, command=command()) as api:
            pid = (await api.doctor()).service["pid"]
            with stopped(pid):
                with pytest.raises(SecxopsError) as error:
                    await asyncio.wait_for(call(api), SECONDS)
                assert error.value.code == "service_stopped"
                assert f"kill -CONT {pid}" in error.value.hint
            assert (await api.doctor()).service["pid"] == pid

    asyncio.run(work())


def test_whoever_waits_is_told_when_it_is_suspended(runtime: Runtime) -> None:
    async def work() -> None:
        async with MigrationClient(runtime=runtime, command=command()) as api:
            pid = (await api.doctor()).service["pid"]
            await api.share(ShareRequest(project="/p", name="slow-one"))
            stream: AsyncIterator[Event] = api.events(None, 0)
            await stream.__anext__()
            await asyncio.sleep(0.3)  # it has read what was there, and waits
            with stopped(pid):

                async def rest() -> None:
                    async for _ in stream:
                        pass

                with pytest.raises(SecxopsError) as error:
                    await asyncio.wait_for(rest(), SECONDS)
                assert error.value.code == "service_stopped"

    asyncio.run(work())


def test_a_suspended_service_that_takes_no_more_callers_is_named(runtime: Runtime) -> None:
    ensure_service(runtime, command())
    pid = runtime.listener()
    assert pid
    callers = []
    with stopped(pid):
        while True:
            callers.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            if callers[-1].connect_ex(os.fspath(runtime.socket)) == errno.EAGAIN:
                break
        assert told(runtime).code == "service_stopped"
        for caller in callers:
            caller.close()


def test_a_service_that_is_suspended_before_it_listens_is_named(runtime: Runtime) -> None:
    words = [sys.executable, "-c", "import os; os.kill(os.getpid(), 19)"]
    error = told(runtime, words)
    assert error.code == "service_stopped"
    pid = error.params["pid"]
    assert isinstance(pid, int) and is_stopped(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_process_that_has_the_number_of_one_that_ended_is_not_blamed(runtime: Runtime) -> None:
    other = program("import time; time.sleep(60)")
    try:
        with stopped(other.pid):
            runtime.make()
            runtime.lock.write_text(f"{other.pid}\n")
            ensure_service(runtime, command())
    finally:
        other.kill()
        other.wait()


# --------------------------------------------------------------------------- locks


TAKES_LOCK = """
    import os, signal, sys, time
    from jupyter_secxops_migrate.runtime import Runtime
    import fcntl
    runtime = Runtime.find()
    runtime.make()
    lock = os.open(runtime.{lock}, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.pwrite(lock, b"%d" % os.getpid(), 0)
"""


def test_a_client_that_was_suspended_while_it_started_the_service_holds_nobody_up(
    runtime: Runtime,
) -> None:
    other = program(TAKES_LOCK.format(lock="start_lock") + "    os.kill(os.getpid(), 19)\n")
    try:
        wait_until(lambda: is_stopped(other.pid))
        ensure_service(runtime, command())
        assert runtime.listener()
    finally:
        other.kill()
        other.wait()


def test_a_lock_whose_process_has_ended_is_named(runtime: Runtime) -> None:
    # A child has the open file, and with it the lock, from its parent.
    leaves = "    if os.fork():\n        os._exit(0)\n    print(flush=True)\n    time.sleep(60)\n"
    words = textwrap.dedent(TAKES_LOCK.format(lock="lock") + leaves)
    with subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.wait()
        error = told(runtime)
        assert error.code == "lock_abandoned"
        assert error.params["pid"] == parent.pid
        assert str(runtime.lock) in error.hint
        [child] = [
            int(process.name)
            for process in Path("/proc").iterdir()
            if process.name.isdigit() and has_open(process, runtime.lock)
        ]
        os.kill(child, signal.SIGKILL)


def has_open(process: Path, path: Path) -> bool:
    try:
        return any(file.resolve() == path for file in (process / "fd").iterdir())
    except OSError:
        return False


# --------------------------------------------------------------------------- it can't start


def record(folder: Path, version: str | None = None) -> None:
    """Make an empty record of shares, as another version would have left it."""
    import sqlalchemy as sa

    from jupyter_secxops_migrate.operations.store import Store

    folder.mkdir(mode=0o700, exist_ok=True)
    store = Store(f"sqlite:///{folder / 'store.sqlite'}", [])
    store.open()
    if version is not None:
        with store.engine.begin() as connection:
            connection.execute(sa.text(f"update alembic_version set version_num = '{version}'"))
    store.close()


def corrupt(runtime: Runtime) -> None:
    (runtime.data / "store.sqlite").write_bytes(b"no database at all, but of some length" * 100)


def corrupt_workflows(runtime: Runtime) -> None:
    (runtime.data / "dbos.sqlite").write_bytes(b"no database at all, but of some length" * 100)


def newer(runtime: Runtime) -> None:
    record(runtime.data, "9999")


def broken_settings(runtime: Runtime) -> None:
    settings = runtime.data.parent / "config" / "jupyter_secxops_config.py"
    settings.parent.mkdir()
    settings.write_text("c.ResourcePolicy.\n")


def impossible_settings(runtime: Runtime) -> None:
    settings = runtime.data.parent / "config" / "jupyter_secxops_config.py"
    settings.parent.mkdir()
    settings.write_text("c.SecxopsService.workers = 0\n")


def no_address(runtime: Runtime) -> None:
    settings = runtime.data.parent / "config" / "jupyter_secxops_config.json"
    settings.parent.mkdir()
    settings.write_text('{"SecxopsService": {"store_url": "postgres:secret"}}')


@pytest.mark.parametrize(
    ("harm", "code", "word"),
    [
        (corrupt, "store_corrupt", "store.sqlite"),
        (corrupt_workflows, "store_corrupt", "dbos.sqlite"),
        (newer, "store_newer", "store.sqlite"),
        (broken_settings, "settings_unusable", "jupyter_secxops_config.py"),
        (impossible_settings, "settings_unusable", "workers"),
        (no_address, "settings_unusable", "SecxopsService.store_url"),
    ],
)
def test_why_it_cant_start_reaches_who_needs_it(
    runtime: Runtime, harm: Callable[[Runtime], None], code: str, word: str
) -> None:
    runtime.data.mkdir(mode=0o700)
    harm(runtime)
    error = told(runtime, SERVICE, STARTS_SECONDS)
    assert error.code == code, error
    assert word in error.message
    assert "secret" not in error.message
    assert error.hint


@pytest.fixture
def small(runtime: Runtime) -> Iterator[Path]:
    """The data folder on a small disk of its own, with a record in it."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    runtime.data.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=100,mode=700", "none"]
    subprocess.run([*mount, runtime.data], check=True)
    record(runtime.data)
    yield runtime.data
    end(runtime)
    subprocess.run(["umount", "-l", runtime.data], check=True)


def read_only(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)


def no_bytes(folder: Path) -> None:
    with pytest.raises(OSError, match="No space"), (folder / "ballast").open("wb", 0) as file:
        while True:
            file.write(b"\0" * 4096)


def no_inodes(folder: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        for number in range(1000):
            (folder / str(number)).touch()


@pytest.mark.root
@pytest.mark.parametrize("started_before", [False, True])
@pytest.mark.parametrize(
    ("harm", "code"),
    [(read_only, "store_read_only"), (no_bytes, "store_full"), (no_inodes, "store_full")],
)
def test_a_disk_that_takes_nothing_is_named(
    runtime: Runtime,
    small: Path,
    harm: Callable[[Path], None],
    code: str,
    started_before: bool,
) -> None:
    if started_before:
        for name in ("start.lock", "service.lock", "service.log", "service.err"):
            (small / name).touch()
    harm(small)
    error = told(runtime, SERVICE, STARTS_SECONDS)
    assert error.code == code, error
    assert str(small) in error.message
