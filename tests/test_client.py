"""The client and the service that it starts: real processes on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from web.host import ALICE, BOB, serving
from web.memory import TOKEN
from web.service import TESTS, command, end, started, wait_until

from jupyter_secxops_migrate.client import MigrationClient, ensure_service, frames
from jupyter_secxops_migrate.errors import (
    InvalidRequest,
    NotFound,
    SecxopsError,
    Unauthenticated,
    WrongState,
)
from jupyter_secxops_migrate.hosts.errors import ServiceElsewhere, ServiceUnavailable
from jupyter_secxops_migrate.model import (
    EnvironmentStatus,
    Event,
    MigrationState,
    PodSource,
    ShareRequest,
)
from jupyter_secxops_migrate.runtime import Runtime

T = TypeVar("T")
REQUEST = ShareRequest(project="/p")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setenv("SECXOPS_DATA_DIR", str(tmp_path / "secxops"))
    found = Runtime.find()
    yield found
    end(found)


def local(runtime: Runtime, *options: str) -> MigrationClient:
    return MigrationClient(runtime=runtime, command=command(*options))


def with_service(runtime: Runtime, work: Callable[[MigrationClient], Awaitable[T]]) -> T:
    async def run() -> T:
        async with local(runtime) as api:
            return await work(api)

    return asyncio.run(run())


async def settled(api: MigrationClient, migration: str) -> MigrationState:
    async for _ in api.events(migration, 0):
        pass
    return (await api.get(migration)).state


# --------------------------------------------------------------------------- every call


def test_every_call_reaches_the_service(runtime: Runtime) -> None:
    async def work(api: MigrationClient) -> None:
        environment = await api.environment("/p/é", ["/d/1", "/d/2"])
        assert [folder.path for folder in environment.data] == ["/d/1", "/d/2"]
        pod = PodSource(pod="alice", container="n")
        environment = await api.environment("/p", source=pod)
        assert (environment.kind, environment.container) == ("pod", "alice/n")
        assert (await api.plan(ShareRequest(project="/p", name="x"))).name == "x"
        migration = await api.share(REQUEST)
        assert await settled(api, migration.id) is MigrationState.SUCCEEDED
        assert [m.id for m in await api.list()] == [migration.id]
        told = await api.get(migration.id, token=True)
        assert told.result is not None
        assert TOKEN in str(told.result.url)
        silent = await api.get(migration.id)
        assert silent.result is not None
        assert TOKEN not in str(silent.result.url)
        assert "\u2028" in await api.log(migration.id)
        stopped = await api.stop(migration.id)
        assert stopped.environment is not None
        assert stopped.environment.status is EnvironmentStatus.STOPPED
        await api.start(migration.id)
        await api.delete(migration.id)
        assert await api.list() == []
        assert await api.orphans() == await api.sweep() == []
        slow = await api.share(ShareRequest(project="/p", name="slow-one"))
        await api.cancel(slow.id)
        assert await settled(api, slow.id) is MigrationState.CANCELLED
        assert (await api.retry(slow.id)).attempt == 2
        await api.cancel(slow.id)
        report = await api.doctor()
        assert report.service["pid"] == runtime.listener()

    with_service(runtime, work)


def test_errors_arrive_as_what_they_are(runtime: Runtime) -> None:
    async def work(api: MigrationClient) -> None:
        with pytest.raises(NotFound) as absent:
            await api.get("../../etc")
        assert absent.value.params["id"] == "../../etc"
        with pytest.raises(NotFound):
            await api.delete("absent")
        with pytest.raises(NotFound):
            async for _ in api.events("absent"):
                raise AssertionError
        done = await api.share(REQUEST)
        await settled(api, done.id)
        with pytest.raises(WrongState) as wrong:
            await api.retry(done.id)
        assert wrong.value.hint.startswith("If it is still under way, wait or cancel it first")
        with pytest.raises(SecxopsError) as internal:
            await api.environment("/crash")
        assert type(internal.value) is SecxopsError

    with_service(runtime, work)


def test_an_error_of_a_newer_service_keeps_its_message() -> None:
    error = SecxopsError.from_dict({"code": "from_the_future", "message": "Flux is low."})
    assert "Flux is low." in error.message
    assert error.as_dict()["code"] == "internal"


def test_an_error_survives_the_way() -> None:
    for cls in SecxopsError.catalogue():
        sent = cls("Because.", id="m1", fields=["a"])
        arrived = SecxopsError.from_dict(json.loads(json.dumps(sent.as_dict())))
        assert type(arrived) is cls
        assert arrived.as_dict() == sent.as_dict()
        assert str(arrived) == str(sent)


# --------------------------------------------------------------------------- starting


def test_clients_that_come_at_once_start_one_service(runtime: Runtime) -> None:
    failures: list[BaseException] = []

    def come() -> None:
        try:
            ensure_service(runtime, command())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=come) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures
    assert started(runtime) == [runtime.listener()]


def test_processes_that_come_at_once_start_one_service(runtime: Runtime) -> None:
    program = (
        f"import sys; sys.path[:0] = [{str(TESTS)!r}, {str(TESTS.parent)!r}]\n"
        "from web.service import command\n"
        "from jupyter_secxops_migrate.client import ensure_service\n"
        "ensure_service(command=command())\n"
    )
    clients = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [client.wait(60) for client in clients] == [0, 0, 0]
    assert started(runtime) == [runtime.listener()]


def test_a_second_service_is_told_who_holds_the_store(runtime: Runtime) -> None:
    ensure_service(runtime, command())
    second = subprocess.run(command(), capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 75
    assert f"process {runtime.listener()}" in second.stderr
    assert started(runtime) == [runtime.listener()]


def test_a_service_that_cant_start_is_an_error_with_its_log(runtime: Runtime) -> None:
    broken = (sys.executable, "-c", "import sys; sys.exit('no such thing')")
    with pytest.raises(ServiceUnavailable) as error:
        ensure_service(runtime, broken)
    log = Path(str(error.value.params["log"]))
    assert "no such thing" in log.read_text("utf-8")
    with pytest.raises(ServiceUnavailable):
        ensure_service(runtime, ("/no/such/python",))
    with pytest.raises(ServiceUnavailable):
        ensure_service(runtime, (sys.executable, "-c", "import time; time.sleep(3)"), timeout=0.5)


def test_what_it_leaves_is_for_its_owner_alone(runtime: Runtime) -> None:
    ensure_service(runtime, command())
    assert stat.S_IMODE(runtime.data.stat().st_mode) == 0o700
    for path in runtime.data.iterdir():
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    assert stat.S_ISSOCK(runtime.socket.stat().st_mode)


def test_a_module_in_the_current_folder_is_not_taken_for_ours(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "tornado.py").write_text("raise SystemExit('taken')")
    (project / "jupyter_secxops_config.py").write_text("raise SystemExit('configured')")
    monkeypatch.chdir(project)
    words = [sys.executable, "-m", "jupyter_secxops_migrate.serve", "--help"]
    monkeypatch.setenv("PYTHONPATH", str(TESTS.parent))
    with pytest.raises(ServiceUnavailable) as error:
        ensure_service(runtime, words)
    # It came as far as its help, with status 0.
    assert "status 0" in error.value.message
    ensure_service(runtime, command())
    assert runtime.listener()


# --------------------------------------------------------------------------- ending


def test_a_killed_service_is_replaced_by_the_next_call(runtime: Runtime) -> None:
    async def work(api: MigrationClient) -> None:
        first = (await api.doctor()).service["pid"]
        os.kill(first, signal.SIGKILL)
        # Straight away: the kernel may not have closed its socket yet.
        second = (await api.doctor()).service["pid"]
        assert second != first
        os.kill(second, signal.SIGKILL)
        wait_until(lambda: runtime.listener() is None)
        assert (await api.share(REQUEST)).state is not MigrationState.FAILED

    with_service(runtime, work)
    assert len(started(runtime)) == 3


def test_a_share_sent_twice_over_a_break_is_one(runtime: Runtime) -> None:
    async def work(api: MigrationClient) -> None:
        first = await api.share(REQUEST, "key")
        assert (await api.share(REQUEST, "key")).id == first.id
        assert len(await api.list()) == 1

    with_service(runtime, work)


def test_events_go_on_through_a_restart(runtime: Runtime) -> None:
    async def work(api: MigrationClient) -> list[Event]:
        found: list[Event] = []
        await api.share(REQUEST)
        async for event in api.events(None, 0):
            found.append(event)
            if len(found) == 3:
                os.kill(runtime.listener() or 0, signal.SIGTERM)
                wait_until(lambda: not runtime.described())
                # The next one remembers nothing, so its sequence begins anew and goes past.
                async with local(runtime) as other:
                    await other.share(REQUEST)
            if len(found) == 8:
                break
        return found

    found = with_service(runtime, work)
    numbers = [event.id for event in found]
    assert numbers == sorted(set(numbers))
    assert len(started(runtime)) == 2


def test_an_idle_service_leaves_and_takes_its_socket_along(runtime: Runtime) -> None:
    ensure_service(runtime, command("--SecxopsService.idle_seconds=0.3"))
    wait_until(lambda: runtime.listener() is None, 5)
    wait_until(lambda: not runtime.described())
    assert not runtime.socket.exists()


def test_a_service_with_work_or_a_listener_stays(runtime: Runtime) -> None:
    async def run() -> None:
        async with local(runtime, "--SecxopsService.idle_seconds=0.3") as api:
            slow = await api.share(ShareRequest(project="/p", name="slow-one"))
            await asyncio.sleep(1.2)
            assert runtime.listener() is not None
            stream: AsyncIterator[Event] = api.events()
            listening = asyncio.ensure_future(stream.__anext__())
            await asyncio.sleep(0.2)
            await api.cancel(slow.id)
            await listening
            again = asyncio.ensure_future(stream.__anext__())
            await asyncio.sleep(1.2)
            assert runtime.listener() is not None
            again.cancel()
            await asyncio.gather(again, return_exceptions=True)
            await asyncio.to_thread(wait_until, lambda: runtime.listener() is None, 5)

    asyncio.run(run())
    assert len(started(runtime)) == 1


def test_sigterm_ends_it_at_once_though_it_works(runtime: Runtime) -> None:
    async def work(api: MigrationClient) -> None:
        await api.share(ShareRequest(project="/p", name="slow-one"))

    with_service(runtime, work)
    os.kill(runtime.listener() or 0, signal.SIGTERM)
    before = time.monotonic()
    wait_until(lambda: runtime.listener() is None, 3)
    wait_until(lambda: not runtime.described(), 3)
    assert time.monotonic() - before < 3


def test_a_thread_that_waits_for_ever_does_not_keep_the_process(runtime: Runtime) -> None:
    words = list(command())
    words[2] = (
        f"import threading; threading.Thread(target=threading.Event().wait).start(); {words[2]}"
    )
    with subprocess.Popen(words) as process:
        try:
            wait_until(lambda: runtime.listener() == process.pid)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
    assert runtime.log.read_text("utf-8").rstrip().endswith("ended")


# --------------------------------------------------------------------------- versions


def pretend(runtime: Runtime, **fields: object) -> None:
    # It listens a moment before it describes itself, and would write over this.
    wait_until(lambda: bool(runtime.described()))
    said = {**runtime.described(), **fields}
    runtime.description.write_text(json.dumps(said), encoding="utf-8")


def test_an_older_idle_service_is_replaced(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_secxops_migrate.client.starting.version", lambda: "0.2.0")
    ensure_service(runtime, command())
    first = runtime.listener()
    pretend(runtime, version="0.1.0")
    ensure_service(runtime, command())
    assert runtime.listener() != first
    pretend(runtime, version="0.3.0")
    second = runtime.listener()
    ensure_service(runtime, command())
    assert runtime.listener() == second


def test_an_older_busy_service_is_used_as_it_is(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_secxops_migrate.client.starting.version", lambda: "0.2.0")
    monkeypatch.setattr("jupyter_secxops_migrate.client.starting.REPLACE_SECONDS", 0.5)

    async def work(api: MigrationClient) -> None:
        await api.share(ShareRequest(project="/p", name="slow-one"))

    with_service(runtime, work)
    first = runtime.listener()
    pretend(runtime, version="0.1.0")
    ensure_service(runtime, command())
    assert runtime.listener() == first


def test_no_other_process_is_ever_signalled(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_secxops_migrate.client.starting.version", lambda: "0.2.0")
    ensure_service(runtime, command())
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        pretend(runtime, version="0.1.0", pid=bystander.pid)
        ensure_service(runtime, command())
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


# --------------------------------------------------------------------------- from elsewhere


def test_over_http_the_token_says_who_asks() -> None:
    async def run() -> None:
        with serving("/user/alice/") as host:
            alice = MigrationClient(f"{host.url}/user/alice/", ALICE)
            bob = MigrationClient(f"{host.url}/user/alice", BOB)
            nobody = MigrationClient(f"{host.url}/user/alice", "wrong")
            async with alice, bob, nobody:
                migration = await alice.share(REQUEST)
                assert migration.owner == "alice"
                assert await settled(alice, migration.id) is MigrationState.SUCCEEDED
                with pytest.raises(NotFound):
                    await bob.get(migration.id)
                with pytest.raises(Unauthenticated):
                    await nobody.list()
                with pytest.raises(InvalidRequest):
                    await alice.share(REQUEST, "not a key")

    asyncio.run(run())


def test_a_server_that_is_not_there_is_unavailable() -> None:
    async def run() -> None:
        async with MigrationClient("http://127.0.0.1:9", ALICE) as api:
            with pytest.raises(ServiceUnavailable):
                await api.list()

    asyncio.run(run())


def test_a_proxy_of_the_environment_is_not_asked_for_the_socket(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def work(api: MigrationClient) -> None:
        await api.doctor()

    with_service(runtime, work)


def test_frames_are_read_however_they_are_cut() -> None:
    text = b": \n\nretry: 5\n\nid: 1\nevent: log\ndata: {\ndata: }\n\nid: 2\ndata:x\n\ndata: lost"

    async def read(size: int) -> list[tuple[str | None, str, bytes]]:
        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(text), size):
                yield text[start : start + size]

        return [frame async for frame in frames(chunks())]

    for size in (1, 2, 7, len(text)):
        found = asyncio.run(read(size))
        assert found == [("1", "log", b"{\n}"), ("2", "message", b"x")]


# --------------------------------------------------------------------------- cost


def test_importing_the_client_brings_nothing_heavy() -> None:
    program = (
        "import sys; import jupyter_secxops_migrate.client\n"
        "print([m for m in ('dbos', 'sqlalchemy', 'docker', 'httpx', 'tornado', 'alembic') "
        "if m in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )
    assert said.stdout.strip() == "[]"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a process namespace")
def test_a_service_answers_nobody_in_another_container(runtime: Runtime) -> None:
    words = ["unshare", "--pid", "--fork", "--kill-child", *command()]
    with subprocess.Popen(words) as child:
        try:
            wait_until(runtime.described)
            with pytest.raises(ServiceElsewhere):
                ensure_service(runtime)
            transport = httpx.HTTPTransport(uds=str(runtime.socket))
            with httpx.Client(transport=transport, base_url="http://secxops") as http:
                assert http.get("/secxops/api/v1/migrations").status_code == 401
        finally:
            child.kill()

    def is_gone() -> bool:
        with contextlib.suppress(ServiceElsewhere):
            return runtime.listener() is None
        return False

    wait_until(is_gone)
