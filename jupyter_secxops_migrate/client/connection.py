"""HTTP to one service, over its starts and ends.

A service that ends under a call, by idleness or by force, is started again, and the call is repeated
where that can't do a thing twice. Knows no route; what speaks HTTP is imported with the first call.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import SecxopsError
from ..hosts.errors import ServiceUnavailable
from ..routes import API
from ..runtime import Runtime
from .starting import COMMAND, ensure_service, insist_it_runs

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

# How often somebody who waits for an answer looks whether the service can give one.
LOOK_SECONDS = 2.0
# A plan walks the project, and a delete waits for a container to end.
ANSWER_SECONDS = 300.0
# Three keep-alives of a stream.
SILENCE_SECONDS = 45.0
TRIES = 4


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
