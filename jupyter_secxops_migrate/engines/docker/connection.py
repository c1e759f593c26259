"""The connection to a Docker Engine, and its errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, ParamSpec, TypeVar

import docker
import requests
from docker.types import CancellableStream
from docker.utils import parse_host

from ... import errors
from ...copying.errors import DiskFull
from ...threads import Threads, ended
from ..errors import EngineForbidden, EngineUnavailable
from ..output import DISK_FULL, without_passwords
from . import accounts
from .streams import stream

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT = 60
"""Seconds without a byte from the engine after which it counts as gone."""
CALL_SECONDS = 60.0
LONG_CALL_SECONDS = 600.0
_END_SECONDS = 0.5
_SHORT_CALLS = 16
_LONG_CALLS = 8


class StreamingClient(docker.APIClient):
    """A client for one stream, which can be broken off from another thread."""

    broken = False
    builder = "1"
    """Which of the engine's builders `build` is for: ``1`` is the classic one, ``2`` BuildKit."""
    ends_by_itself = False
    """Whether what it reads ends soon once the other side sees that nobody waits for it any more."""
    _answer: requests.Response | None = None

    # docker-py (looked at in 7.2) has no public way to see an answer before it is read, to name the
    # builder, or to ask for a header: these are the methods all its requests go through. types-docker
    # leaves private methods out.
    def _post(self, url: str, **kwargs: Any) -> requests.Response:
        if url.endswith("/build"):
            kwargs["params"]["version"] = self.builder  # docker-py does not know of it
        return self._kept(super()._post(url, **kwargs), kwargs)  # type: ignore[misc]

    def _get(self, url: str, **kwargs: Any) -> requests.Response:
        return self._kept(super()._get(url, **kwargs), kwargs)  # type: ignore[misc]

    def _kept(self, answer: requests.Response, options: Mapping[str, Any]) -> requests.Response:
        """Keep the answer that is a stream; one that is asked for beside it is read at once."""
        if options.get("stream"):
            self._answer = answer
            if self.broken:  # meanwhile
                self.break_off()
        return answer

    def clock(self) -> float:
        """Return the time where the engine is, in seconds since 1970; whole ones."""
        said = super()._get(self._url("/_ping")).headers.get("Date")  # type: ignore[misc,attr-defined]
        return parsedate_to_datetime(said).timestamp() if said else int(time.time())

    def close(self) -> None:
        """Close the connection, also of an answer that was not read to its end."""
        if self._answer is not None:
            self._answer.close()
        super().close()

    def break_off(self) -> None:
        """Shut the connection down; whoever reads from it gets an end or an error.

        Of what ends by itself the rest can still be read: only our side is shut down.
        """
        self.broken = True
        if self._answer is None:
            return
        with contextlib.suppress(OSError, AttributeError, docker.errors.DockerException):
            if self.ends_by_itself:
                reader = self._get_raw_response_socket(self._answer)  # type: ignore[attr-defined]
                # Not as TLS would: its end would take what is still to be read along.
                socket.socket.shutdown(getattr(reader, "_sock", reader), socket.SHUT_WR)
            else:
                CancellableStream(iter(()), self._answer).close()


class Connection:
    """Calls a Docker Engine from asyncio.

    Parameters
    ----------
    endpoint
        Such as ``unix:///var/run/docker.sock``; empty for docker-py's default.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._api: docker.APIClient | None = None
        # What runs a project's image, or removes gigabytes, must not hold up a look at a container.
        self._short = Threads("docker", _SHORT_CALLS)
        self._long = Threads("docker-long", _LONG_CALLS)

    def _new(self, kind: type[docker.APIClient] = docker.APIClient, **options: Any) -> Any:
        try:
            client = kind(base_url=self.endpoint, version="auto", timeout=TIMEOUT, **options)
        except (docker.errors.InvalidConfigFile, AttributeError, TypeError, ValueError):
            # Some of a malformed Docker configuration docker-py can't do without.
            if (problem := accounts.problem()) is not None:
                raise problem from None
            raise
        return accounts.with_accounts(client)

    def api(self) -> docker.APIClient:
        """Return the shared client; connects on first use (blocking)."""
        if self._api is None:
            self._api = self._new()
        return self._api

    def close(self) -> None:
        """Close the shared client; calls that are under way are not waited for."""
        self._short.close()
        self._long.close()
        if self._api is not None:
            self._api.close()
            self._api = None

    async def call(
        self,
        action: str,
        function: Callable[[docker.APIClient], T],
        *,
        absent: T | None = None,
        long: bool = False,
    ) -> T:
        """Run a blocking call in a thread.

        Parameters
        ----------
        action
            What it does, for the error's sentence.
        function
            Gets the client.
        absent
            What to return when Docker says that the object is not there; without it that is an
            error like others.
        long
            Whether it may take more than a moment; such calls hold up no short one.

        Raises
        ------
        errors.EngineFailed
            It could not do it, or took longer than a call may: an engine that gives a byte now and then
            holds nobody up. The thread is free once the engine is done, or its connection ends.
        asyncio.CancelledError
            The caller was cancelled: then the call has ended, or half a second has passed.
        """

        def work() -> T:
            with self.translated(action):
                try:
                    return function(self.api())
                except docker.errors.NotFound:
                    if absent is None:
                        raise
                    return absent

        threads, seconds = (self._long, LONG_CALL_SECONDS) if long else (self._short, CALL_SECONDS)
        try:
            return await ended(asyncio.wait_for(threads.run(work), seconds), _END_SECONDS)
        except asyncio.TimeoutError:
            reason = f"it did not answer within {seconds:.0f} seconds"
            raise errors.EngineFailed(action=action, reason=reason) from None

    async def stream(
        self, action: str, items: Callable[[StreamingClient], Iterator[T]]
    ) -> AsyncGenerator[T]:
        """Yield what a blocking call yields, on a connection of its own."""
        made: list[StreamingClient] = []

        def read() -> Iterator[T]:
            with self.translated(action):
                client: StreamingClient = self._new(StreamingClient)
                made.append(client)
                try:
                    yield from items(client)
                finally:
                    client.close()

        def close() -> None:
            for client in made:
                client.break_off()

        async with contextlib.aclosing(stream(read, close)) as found:
            async for item in found:
                yield item

    @contextlib.contextmanager
    def translated(self, action: str) -> Iterator[None]:
        """Turn docker-py's errors into ours."""
        try:
            yield
        except docker.errors.APIError as error:
            raise translate(error, action) from error
        except docker.errors.DockerException as error:
            raise self._unreachable(error) from error
        except (requests.exceptions.ConnectionError, ConnectionError) as error:
            raise self._unreachable(error) from error
        except requests.exceptions.RequestException as error:
            raise errors.EngineFailed(action=action, reason=type(error).__name__) from error

    def _unreachable(self, error: BaseException) -> errors.SecxopsError:
        endpoint = self.endpoint.split("@")[-1].removeprefix("http+")
        cause: BaseException | None = error
        seen = str(error)
        while cause is not None:
            if isinstance(cause, PermissionError) or "Permission denied" in seen:
                return EngineForbidden(endpoint=endpoint)
            cause = cause.__cause__ or cause.__context__
            seen = str(cause)
        return EngineUnavailable(endpoint=endpoint)


def translate(error: docker.errors.APIError, action: str) -> errors.SecxopsError:
    """Return our error for one of Docker's answers."""
    reason = without_passwords(str(error.explanation or error)).strip().rstrip(".")
    if DISK_FULL in reason.lower():
        return DiskFull(step=action)
    return errors.EngineFailed(action=action, reason=reason[:500])


def product(api: docker.APIClient) -> str:
    """Return what answers, and its version: ``Docker 28.2.2``, ``Podman 4.3.1``."""
    found = api.version()
    for part in found.get("Components") or ():
        if part.get("Name") == "Podman Engine":
            return f"Podman {part.get('Version') or found['Version']}"
    return f"Docker {found['Version']}"


def default_endpoint(value: str) -> str:
    """Return a checked endpoint.

    Raises
    ------
    EngineUnavailable
        It is not of an endpoint's form.
    """
    try:
        return str(parse_host(value))
    except docker.errors.DockerException:
        raise EngineUnavailable(endpoint=value) from None
