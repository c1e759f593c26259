"""The API from outside: `MigrationClient` speaks to the service, and starts it if need be.

Over the Unix socket of this account's own service, or over HTTP(S) with a token. A service that
ends under a call, by idleness or by force, is started again, and the call is repeated where that
can't do a thing twice. Imports no store and no engine; what speaks HTTP is imported with the first
call.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

from .errors import (
    LockAbandoned,
    NotFound,
    SecxopsError,
    ServiceStopped,
    ServiceUnavailable,
    StoreLocked,
    WrongState,
)
from .model import (
    Environment,
    Event,
    Migration,
    Orphan,
    Plan,
    PodSource,
    ServiceReport,
    ShareRequest,
)
from .processes import Standing, holder, standing
from .runtime import API, ERROR_FD, Runtime, try_lock, version

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

# `python -m` without the current folder on the module path would need Python 3.11; the service is
# started in its own data folder instead, so that no project's module is taken for one of ours.
COMMAND = (sys.executable, "-m", "jupyter_secxops_migrate.serve")
EXIT_LOCKED = 75
# It takes two to three; several times that where the machine is busy.
START_SECONDS = 30.0
REPLACE_SECONDS = 3.0
# For a lock that nobody will give back.
ABANDONED_SECONDS = 3.0
# How often somebody who waits for an answer looks whether the service can give one.
LOOK_SECONDS = 2.0
# A debugger stops a process for a moment, now and then.
STOPPED_SECONDS = 0.3
# A plan walks the project, and a delete waits for a container to end.
ANSWER_SECONDS = 300.0
# Three keep-alives of the stream.
SILENCE_SECONDS = 45.0
TRIES = 4
# One error as JSON; a pipe holds as much without a reader.
_TOLD_BYTES = 65536


# --------------------------------------------------------------------------- starting the service


def ensure_service(
    runtime: Runtime | None = None,
    command: Sequence[str] = COMMAND,
    timeout: float = START_SECONDS,
) -> None:
    """Return once this account's service answers; start it if it does not.

    Clients that do this at the same time start one service. A service of an older version is
    asked to end, and replaced, if it is idle; a busy one goes on and is used as it is.

    Parameters
    ----------
    runtime
        Where it is; this account's where not given.
    command
        What starts it.
    timeout
        Seconds to wait for it.

    Raises
    ------
    ServiceUnavailable
        It did not start; the error names its log file.
    ServiceElsewhere
        The folder is in use by the service of another container.
    ServiceStopped
        It is there, and suspended.
    LockAbandoned
        Its lock is held by a process that is not there any more.
    SecxopsError
        What it said why it can't start: its record is damaged, its settings are wrong.
    """
    runtime = runtime or Runtime.find()
    deadline = time.monotonic() + timeout
    insist_it_runs(runtime)
    if runtime.listener() is not None and not _older(runtime):
        return
    runtime.make()
    lock = runtime.open_lock(runtime.start_lock)
    try:
        if not _our_turn(runtime, lock, deadline):
            return
        if runtime.listener() is not None and not (_older(runtime) and _retire(runtime)):
            return
        _start(runtime, command, deadline)
    finally:
        os.close(lock)


def insist_it_runs(runtime: Runtime) -> None:
    """Return at once, unless the service's process is suspended.

    Raises
    ------
    ServiceStopped
        It is, and that not only for a moment.
    """
    pid = runtime.stopped()
    if pid is None:
        return
    time.sleep(STOPPED_SECONDS)
    if runtime.stopped() == pid:
        raise ServiceStopped(pid=pid)


def _our_turn(runtime: Runtime, lock: int, deadline: float) -> bool:
    """Wait for the lock of who starts the service; whether there is something left to do.

    Nobody waits long for a client that was suspended while it had it, or whose child has it still: the
    service's own lock sees to it that there is one service.
    """
    there_at = time.monotonic()
    while not try_lock(lock):
        now = time.monotonic()
        insist_it_runs(runtime)
        if runtime.listener() is not None and not _older(runtime):
            return False
        if holder(runtime.start_lock)[1] not in (Standing.STOPPED, Standing.ENDED):
            there_at = now
        if now - there_at > ABANDONED_SECONDS:
            return True
        if now > deadline:
            raise ServiceUnavailable("Another client is still starting it.", log=str(runtime.log))
        time.sleep(0.02)
    return True


def _start(runtime: Runtime, command: Sequence[str], deadline: float) -> None:
    if not _wait_for_lock(runtime, deadline):
        return
    started = _Started(runtime, command)
    pause = 0.01
    try:
        while runtime.listener() is None:
            _insist_it_can_start(runtime, started)
            status = started.child.poll()
            if status == EXIT_LOCKED:
                # Somebody else was quicker: one who starts it by hand.
                if not _wait_for_lock(runtime, deadline):
                    return
                started.close()
                started = _Started(runtime, command)
            elif status is not None:
                raise started.error() or ServiceUnavailable(
                    f"It was started and ended with status {status}.", log=str(runtime.start_log)
                )
            if time.monotonic() > deadline:
                raise ServiceUnavailable(
                    "It was started and does not listen yet.", log=str(runtime.log)
                )
            time.sleep(pause)
            pause = min(0.05, 1.5 * pause)
    finally:
        started.close()


def _wait_for_lock(runtime: Runtime, deadline: float) -> bool:
    """Wait while another service has the lock; whether one is to be started then.

    One that has it is still ending, or does not listen yet.
    """
    there_at = time.monotonic()
    while runtime.locked():
        if runtime.listener() is not None:
            return False
        now = time.monotonic()
        runtime.insist_on_own_lock()
        insist_it_runs(runtime)
        pid, found = holder(runtime.lock)
        if found is not Standing.ENDED:
            there_at = now
        if now - there_at > ABANDONED_SECONDS:
            raise LockAbandoned(pid=pid, lock=str(runtime.lock))
        if now > deadline:
            raise StoreLocked(pid=pid)
        time.sleep(0.05)
    return True


def _insist_it_can_start(runtime: Runtime, started: _Started) -> None:
    insist_it_runs(runtime)
    # Until it has the lock, only who started it knows it.
    pid = started.child.pid
    if standing(pid) is Standing.STOPPED:
        time.sleep(STOPPED_SECONDS)
        if standing(pid) is Standing.STOPPED:
            raise ServiceStopped(pid=pid)


class _Started:
    """A service's process that was started, and what it says why it can't serve.

    Raises
    ------
    ServiceUnavailable
        There is no such program.
    """

    def __init__(self, runtime: Runtime, command: Sequence[str]) -> None:
        self._told, telling = os.pipe()
        try:
            with _start_log(runtime) as said:
                self.child = subprocess.Popen(
                    list(command),
                    cwd=runtime.data,
                    env={
                        **os.environ,
                        "SECXOPS_DATA_DIR": os.fspath(runtime.data),
                        ERROR_FD: str(telling),
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    pass_fds=(telling,),
                    start_new_session=True,
                )
        except OSError as error:
            os.close(self._told)
            raise ServiceUnavailable(
                f"It can't be started: {error.strerror}.", log=str(runtime.log)
            ) from None
        finally:
            os.close(telling)
        # A client that lives longer than the service (a Jupyter server) leaves no zombie.
        threading.Thread(target=self.child.wait, name="secxops-service-reaper", daemon=True).start()

    def error(self) -> SecxopsError | None:
        """Return why it could not serve, if it has ended and said so."""
        os.set_blocking(self._told, False)
        try:
            found = json.loads(os.read(self._told, _TOLD_BYTES))
        except (OSError, ValueError):
            return None
        return SecxopsError.from_dict(found) if isinstance(found, dict) else None

    def close(self) -> None:
        """Listen no more; the process goes on."""
        os.close(self._told)


@contextmanager
def _start_log(runtime: Runtime) -> Iterator[int]:
    """Open what the service writes its standard error to; nothing, where no file can be made."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        said = os.open(runtime.start_log, flags, 0o600)
    except OSError:
        said = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        yield said
    finally:
        os.close(said)


def _older(runtime: Runtime) -> bool:
    said = runtime.described().get("version")
    return isinstance(said, str) and _numbers(said) < _numbers(version())


def _numbers(text: str) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in text.split(".")[:3]]


def _retire(runtime: Runtime) -> bool:
    """Ask the service that listens to end when idle; say whether it did so at once.

    The process is the one that the kernel names at the socket's other end, so no other process is
    ever signalled.
    """
    listener = runtime.listener()
    if not listener or listener != runtime.described().get("pid"):
        return listener is None
    try:
        os.kill(listener, signal.SIGUSR1)
    except ProcessLookupError:
        return True
    deadline = time.monotonic() + REPLACE_SECONDS
    while time.monotonic() < deadline:
        if runtime.listener() is None:
            return True
        time.sleep(0.05)
    return False


# --------------------------------------------------------------------------- calling it


class Connection:
    """HTTP to one service, over starts and ends of it.

    Parameters
    ----------
    base_url
        ``http(s)://…`` below which ``secxops/api/v1`` lies; this account's own service, on its
        Unix socket, where not given.
    token
        Sent along to ``base_url``; the user's own.
    runtime, command
        Where this account's service is and what starts it.
    """

    def __init__(
        self,
        base_url: str | None = None,
        token: str | None = None,
        *,
        runtime: Runtime | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._remote = base_url.rstrip("/") if base_url is not None else None
        self._token = token
        self._runtime = runtime
        self._command = command
        self._http: httpx.AsyncClient | None = None
        self._socket: Path | None = None
        self.repeats = 0

    async def close(self) -> None:
        """Close what is open."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def _client(self) -> httpx.AsyncClient:
        import httpx

        limits = httpx.Limits(max_connections=None, max_keepalive_connections=4)
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=10)
        if self._remote is not None:
            if self._http is None:
                headers = {"Authorization": f"token {self._token}"} if self._token else {}
                self._http = httpx.AsyncClient(
                    base_url=f"{self._remote}/{API}/",
                    headers=headers,
                    timeout=timeout,
                    limits=limits,
                )
            return self._http
        if self._runtime is None:
            self._runtime = Runtime.find()
        if self._http is None:
            self._runtime.listener()  # which is in this container, if there is one
            self._socket = self._runtime.address()
            # No proxy of the environment is asked for a socket, and no certificate is read.
            self._http = httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(
                    uds=os.fspath(self._socket), limits=limits, verify=False, trust_env=False
                ),
                base_url=f"http://secxops/{API}/",
                timeout=timeout,
                trust_env=False,
            )
        return self._http

    async def _restart(self) -> None:
        """Have the service up again, and find where it listens now."""
        if self._remote is not None:
            return
        runtime = self._runtime or Runtime.find()
        await asyncio.to_thread(ensure_service, runtime, self._command)
        if self._socket != runtime.address():
            await self.close()

    @asynccontextmanager
    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        repeat: bool = True,
        silence: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """Send a request; give the answer, whatever its status, with its body still to be read.

        Parameters
        ----------
        method, path
            The path is relative to ``secxops/api/v1/`` and quoted already.
        params, headers, content
            Query, headers and body.
        repeat
            Whether the request may be sent again when the service ended under it.
        silence
            Seconds without a byte after which the service counts as gone.

        Raises
        ------
        ServiceUnavailable
            Nobody answers, also not after a restart.
        ServiceStopped
            The service of this account is suspended.
        """
        import httpx

        for attempt in range(TRIES):
            client = self._client()
            await self._insist_it_runs()
            request = client.build_request(
                method, path, params=list(params), headers=dict(headers or {}), content=content
            )
            if silence is not None:
                request.extensions["timeout"] = {**request.extensions["timeout"], "read": silence}
            try:
                response = await self.watched(client.send(request, stream=True))
                break
            except (httpx.ConnectError, httpx.ConnectTimeout):
                cause = "Nobody listens."
            except httpx.TimeoutException:
                raise self._unavailable("It took too long to answer.") from None
            except httpx.TransportError as error:
                cause = f"The connection broke ({type(error).__name__})."
                if not repeat:
                    raise self._unavailable(cause) from None
            if self._remote is not None and attempt:
                raise self._unavailable(cause)
            self.repeats += 1
            await self._restart()
        else:
            raise self._unavailable(cause)
        try:
            yield response
        finally:
            await response.aclose()

    async def watched(self, answer: Awaitable[T]) -> T:
        """Wait for something of the service's while its process runs.

        Raises
        ------
        ServiceStopped
            It is suspended.
        """
        waiting = asyncio.ensure_future(answer)
        try:
            while not (await asyncio.wait({waiting}, timeout=LOOK_SECONDS))[0]:
                await self._insist_it_runs()
            return waiting.result()
        finally:
            if not waiting.done():
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)

    async def pieces(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield what comes of a stream of the service's; raises as `watched` does."""
        with suppress(StopAsyncIteration):
            while True:
                yield await self.watched(body.__anext__())

    async def _insist_it_runs(self) -> None:
        runtime = self._runtime
        # A look takes no time, except where it is suspended.
        if self._remote is None and runtime is not None and runtime.stopped() is not None:
            await asyncio.to_thread(insist_it_runs, runtime)

    def _unavailable(self, cause: str) -> ServiceUnavailable:
        log = str(self._runtime.log) if self._runtime is not None else "on the server"
        return ServiceUnavailable(cause, log=log)

    async def read(self, method: str, path: str, **options: Any) -> bytes:
        """Send a request and return the body of its success.

        Raises
        ------
        SecxopsError
            What the service answered.
        """
        import httpx

        repeat = options.get("repeat", True)
        for attempt in range(TRIES):
            async with self.call(method, path, **options) as response:
                try:
                    body = await self.watched(response.aread())
                except httpx.TransportError as error:
                    if not repeat or attempt == TRIES - 1:
                        raise self._unavailable(
                            f"The connection broke ({type(error).__name__})."
                        ) from None
                    self.repeats += 1
                    continue
            if response.is_success:
                return body
            raise error_of(response.status_code, body)
        raise AssertionError("unreachable")


def error_of(status: int, body: bytes) -> SecxopsError:
    """Return the error that an answer carries."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if isinstance(found, dict) and "code" in found:
        return SecxopsError.from_dict(found)
    return SecxopsError(f"It was answered with status {status}.")


async def frames(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str | None, str, bytes]]:
    """Read server-sent events: id, kind and data of each.

    Lines end in LF alone, as this service writes them; a stream that ends within an event loses
    that event, as the specification (HTML, 9.2) says.
    """
    rest = b""
    number: str | None = None
    kind = "message"
    data: list[bytes] = []
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if not line:
                if data:
                    yield number, kind, b"\n".join(data)
                kind, data = "message", []
                continue
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"id":
                number = value.decode("ascii", "replace")
            elif name == b"event":
                kind = value.decode("ascii", "replace")
            elif name == b"data":
                data.append(value)


class MigrationClient:
    """`MigrationApi` over a connection; an asynchronous context manager.

    Parameters
    ----------
    base_url
        Of a Jupyter server or hub, ``https://…``; this account's own service where not given.
    token
        The user's own, sent to ``base_url``.
    runtime, command
        Where this account's service is and what starts it.
    """

    def __init__(
        self,
        base_url: str | None = None,
        token: str | None = None,
        *,
        runtime: Runtime | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._local = base_url is None
        self._runtime = runtime
        self._command = command
        self._connection = Connection(base_url, token, runtime=runtime, command=command)

    async def __aenter__(self) -> MigrationClient:
        """Have the service there, of this version if it can be."""
        if self._local:
            starting = asyncio.create_task(
                asyncio.to_thread(ensure_service, self._runtime, self._command)
            )
            await asyncio.sleep(0)
            # Takes a third of a second, while the service's process takes more.
            import httpx  # noqa: F401

            await starting
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; the service stays."""
        await self._connection.close()

    async def environment(
        self, project: str, data: Sequence[str] = (), source: PodSource | None = None
    ) -> Environment:
        """Observe the running environment of a project; touches nothing."""
        params = [("project", project), *(("data", path) for path in data)]
        if source is not None:
            params += source.model_dump(exclude_none=True).items()
        return Environment.model_validate_json(
            await self._connection.read("GET", "environment", params=params)
        )

    async def plan(self, request: ShareRequest) -> Plan:
        """Decide what a share would do; touches nothing."""
        return Plan.model_validate_json(await self._post("plans", request))

    async def share(self, request: ShareRequest, idempotency_key: str | None = None) -> Migration:
        """Record a migration and queue it; sent again, if need be, under the same key."""
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        return Migration.model_validate_json(await self._post("migrations", request, headers))

    async def _post(
        self, path: str, request: ShareRequest, headers: Mapping[str, str] | None = None
    ) -> bytes:
        return await self._connection.read(
            "POST",
            path,
            headers={**(headers or {}), "Content-Type": "application/json"},
            content=request.model_dump_json(exclude_defaults=True).encode(),
        )

    async def get(
        self, migration_id: str, *, token: bool = False, changes: bool = False
    ) -> Migration:
        """Return one migration; with ``token``, ``result.url`` carries its token."""
        params = [("changes", "true")] if changes else []
        found = Migration.model_validate_json(
            await self._connection.read("GET", _path(migration_id), params=params)
        )
        if not token and found.result is not None and found.result.url is not None:
            found.result.url = found.result.url.partition("?")[0]
        return found

    async def list(
        self, limit: int | None = None, before: str | None = None
    ) -> Sequence[Migration]:
        """Return the owner's migrations, newest first."""
        asked = {"limit": limit, "before": before}
        params = {name: value for name, value in asked.items() if value is not None}
        body = await self._connection.read("GET", "migrations", params=params)
        return [Migration.model_validate(item) for item in json.loads(body)]

    async def events(
        self, migration_id: str | None = None, after: int | None = None
    ) -> AsyncIterator[Event]:
        """Yield events, across breaks of the connection and restarts of the service.

        What happens during a break is not lost, except before the first event of a stream that
        starts now (``after=None``).
        """
        import httpx
        from pydantic import ValidationError

        params = [] if migration_id is None else [("migration", migration_id)]
        failures = 0
        while True:
            # As a header, not in the query: a reconnect is the same request.
            headers = {} if after is None else {"Last-Event-ID": str(after)}
            try:
                async with self._connection.call(
                    "GET", "events", params=params, headers=headers, silence=SILENCE_SECONDS
                ) as response:
                    if not response.is_success:
                        raise error_of(response.status_code, await response.aread())
                    async for number, kind, data in frames(
                        self._connection.pieces(response.aiter_bytes())
                    ):
                        failures = 0
                        if kind == "end":
                            return
                        if kind == "failure":
                            raise error_of(response.status_code, data)
                        if number is not None and number.isdigit():
                            after = int(number)
                        try:
                            event = Event.model_validate_json(data)
                        except ValidationError:
                            # A kind that only a newer service knows.
                            continue
                        yield event
            except (httpx.TransportError, ServiceUnavailable) as error:
                failures += 1
                if failures > TRIES:
                    if isinstance(error, ServiceUnavailable):
                        raise
                    raise ServiceUnavailable("The stream of events breaks.", log="") from None
            await asyncio.sleep(min(2.0, 0.05 * 2**failures))

    async def log(self, migration_id: str) -> str:
        """Return the migration's log so far."""
        body = await self._connection.read("GET", _path(migration_id, "log"))
        return body.decode("utf-8", "replace")

    async def cancel(self, migration_id: str) -> Migration:
        """Ask it to end; idempotent."""
        return await self._act(migration_id, "cancel")

    async def retry(self, migration_id: str) -> Migration:
        """Run a failed or cancelled one again."""
        before = await self.get(migration_id)
        try:
            return await self._act(migration_id, "retry")
        except WrongState:
            # Sent twice, because the service ended under the first, it is under way already.
            now = await self.get(migration_id)
            if now.attempt == before.attempt + 1:
                return now
            raise

    async def stop(self, migration_id: str) -> Migration:
        """Stop the launched environment; its volumes and image stay."""
        return await self._act(migration_id, "stop")

    async def start(self, migration_id: str) -> Migration:
        """Start a stopped environment again."""
        return await self._act(migration_id, "start")

    async def _act(self, migration_id: str, verb: str) -> Migration:
        return Migration.model_validate_json(
            await self._connection.read("POST", _path(migration_id, verb))
        )

    async def delete(self, migration_id: str) -> None:
        """Remove container, volumes, image if unused, and the record."""
        before = self._connection.repeats
        try:
            await self._connection.read("DELETE", _path(migration_id))
        except NotFound:
            # Sent again because the service ended under it, it finds nothing any more.
            if self._connection.repeats == before:
                raise

    async def orphans(self) -> Sequence[Orphan]:
        """List the owner's objects in the engine that no migration accounts for."""
        body = await self._connection.read("GET", "orphans")
        return [Orphan.model_validate(item) for item in json.loads(body)]

    async def sweep(self) -> Sequence[Orphan]:
        """Remove the orphans; return what was removed."""
        body = await self._connection.read("DELETE", "orphans")
        return [Orphan.model_validate(item) for item in json.loads(body)]

    async def adopt(self) -> Sequence[Migration]:
        """Take launched shares that only the engine knows into the record; return them."""
        body = await self._connection.read("POST", "orphans")
        return [Migration.model_validate(item) for item in json.loads(body)]

    async def doctor(self) -> ServiceReport:
        """Check the service, its engine and its surroundings."""
        return ServiceReport.model_validate_json(await self._connection.read("GET", "doctor"))


def _path(migration_id: str, *rest: str) -> str:
    return "/".join(["migrations", quote(migration_id, safe=""), *rest])
