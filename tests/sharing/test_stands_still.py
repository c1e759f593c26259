"""What a service does while somebody that it asks gives a byte a second, or stands still."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_secxops_migrate.client import MigrationClient
from jupyter_secxops_migrate.engines.docker import connection
from jupyter_secxops_migrate.errors import EngineFailed
from jupyter_secxops_migrate.model import Migration, MigrationState
from jupyter_secxops_migrate.operations.store import Store
from jupyter_secxops_migrate.runtime import Runtime
from jupyter_secxops_migrate.sharing import document

from .world import World, eventually

SHARES = 30


@pytest.fixture
def dripping() -> Iterator[int]:
    """A server that begins to answer whoever comes, and goes on with a byte a second."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()
    threads = []

    def drip(caller: socket.socket) -> None:
        with caller, contextlib.suppress(OSError):
            caller.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not ended.wait(1.0):
                caller.sendall(b"x")

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                thread = threading.Thread(target=drip, args=(listening.accept()[0],))
                threads.append(thread)
                thread.start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    yield listening.getsockname()[1]
    ended.set()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    for thread in (accepting, *threads):
        thread.join()


def with_many_shares(world: World) -> Migration:
    """Leave a store with launched environments, whose service has ended."""
    first = world.ended(world.share().id)
    assert first.state is MigrationState.SUCCEEDED
    world.stop()
    store = Store(f"sqlite:///{world.data_dir / 'store.sqlite'}", [document.SHARES])
    for number in range(SHARES - 1):
        # Their owner is as the service on a socket names this account.
        again = {
            "id": f"mcopy{number:05}",
            "owner": pwd.getpwuid(os.geteuid()).pw_name,
            "name": f"copy-{number}",
        }
        store.add("share", first.model_copy(update=again))
    store.close()
    return first


@contextlib.contextmanager
def serving(world: World, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setenv("SECXOPS_DATA_DIR", str(world.data_dir))
    monkeypatch.setenv("DOCKER_HOST", endpoint)
    runtime = Runtime.find()
    words = [sys.executable, "-m", "jupyter_secxops_migrate.serve"]
    with subprocess.Popen(words, cwd=Path(__file__).parents[2]) as process:
        try:
            eventually(lambda: runtime.listener() == process.pid)
            yield runtime
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0  # one that waits for the engine stays for minutes
        finally:
            process.kill()


def test_nobody_waits_for_an_engine_that_gives_a_byte_a_second(
    world: World, dripping: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_many_shares(world)

    async def look(runtime: Runtime) -> list[float]:
        took = []
        async with MigrationClient(runtime=runtime) as api:
            for _ in range(3):
                before = time.monotonic()
                found = await api.list()
                took.append(time.monotonic() - before)
                assert len(found) == SHARES - 1
            # More than there are threads of any kind.
            before = time.monotonic()
            shown = await asyncio.gather(*(api.get(m.id) for m in found))
            took.append(time.monotonic() - before)
            assert all(m.result is not None for m in shown)
        return took

    with serving(world, f"tcp://127.0.0.1:{dripping}", monkeypatch) as runtime:
        took = asyncio.run(look(runtime))
        assert max(took) < 20.0, took  # an answer of the engine takes minutes

    # It left in time, and its lock with it.
    with runtime.store_lock():
        pass


def test_no_call_to_an_engine_takes_longer_than_it_may(
    dripping: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CALL_SECONDS", 2.0)

    async def ask() -> None:
        engine = connection.Connection(f"tcp://127.0.0.1:{dripping}")
        # More than there are threads: those that wait for one end in time, too.
        calls = [engine.call("answer", lambda api: api.info()) for _ in range(20)]
        ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
        engine.close()
        for error in ended:
            assert isinstance(error, EngineFailed)
            assert "did not answer within 2 seconds" in error.message

    asyncio.run(ask())


def test_an_environment_that_was_too_slow_to_show_is_told_of_later(world: World) -> None:
    shared = world.ended(world.share().id)
    world.stop()
    world.start()
    world.engine.hang("inspect")
    [listed] = world.run(world.api().list(), seconds=15)
    assert listed.state is MigrationState.SUCCEEDED and listed.environment is None

    world.engine.release("inspect")

    eventually(lambda: any(e.kind == "environment" for e in world.events(shared.id)))
    assert world.get(shared.id).environment is not None


def test_deleting_waits_for_no_look(world: World) -> None:
    shared = world.ended(world.share().id)
    world.stop()
    world.start()
    world.engine.hang("inspect")
    world.run(world.api().list(), seconds=15)

    world.run(world.api().delete(shared.id), seconds=15)

    assert world.run(world.api().list()) == []
    assert world.engine.objects() == []
