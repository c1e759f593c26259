"""The connection to a Docker Engine, and its errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import docker
import requests
from docker.types import CancellableStream
from docker.utils import parse_host

from ... import errors
from ..base import DISK_FULL, without_passwords
from .streams import stream

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT = 60


class StreamingClient(docker.APIClient):
    """A client for one stream, which can be broken off from another thread."""

    broken = False
    builder = "1"
    """Which of the engine's builders `build` is for: ``1`` is the classic one, ``2`` BuildKit."""
    _answer: requests.Response | None = None

    def _post(self, url: str, **kwargs: Any) -> requests.Response:
        if url.endswith("/build"):
            kwargs["params"]["version"] = self.builder  # docker-py does not know of it
        self._answer = super()._post(url, **kwargs)  # type: ignore[misc]
        return self._answer

    def _get(self, url: str, **kwargs: Any) -> requests.Response:
        self._answer = super()._get(url, **kwargs)  # type: ignore[misc]
        return self._answer

    def close(self) -> None:
        """Close the connection, also of an answer that was not read to its end."""
        if self._answer is not None:
            self._answer.close()
        super().close()

    def break_off(self) -> None:
        """Shut the connection down; whoever reads from it gets an end or an error."""
        self.broken = True
        if self._answer is not None:
            with contextlib.suppress(OSError, AttributeError, docker.errors.DockerException):
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

    def _new(self, kind: type[docker.APIClient] = docker.APIClient, **options: Any) -> Any:
        return kind(base_url=self.endpoint, version="auto", timeout=TIMEOUT, **options)

    def api(self) -> docker.APIClient:
        """Return the shared client; connects on first use (blocking)."""
        if self._api is None:
            self._api = self._new()
        return self._api

    def close(self) -> None:
        """Close the shared client."""
        if self._api is not None:
            self._api.close()
            self._api = None

    async def call(
        self, action: str, function: Callable[[docker.APIClient], T], *, absent: T | None = None
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
        """

        def work() -> T:
            with self.translated(action):
                try:
                    return function(self.api())
                except docker.errors.NotFound:
                    if absent is None:
                        raise
                    return absent

        return await asyncio.to_thread(work)

    async def stream(
        self, action: str, items: Callable[[StreamingClient], Iterator[T]]
    ) -> AsyncIterator[T]:
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

        async for item in stream(read, close):
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
                return errors.EngineForbidden(endpoint=endpoint)
            cause = cause.__cause__ or cause.__context__
            seen = str(cause)
        return errors.EngineUnavailable(endpoint=endpoint)


def translate(error: docker.errors.APIError, action: str) -> errors.SecxopsError:
    """Return our error for one of Docker's answers."""
    reason = without_passwords(str(error.explanation or error)).strip().rstrip(".")
    if DISK_FULL in reason.lower():
        return errors.DiskFull(step=action)
    return errors.EngineFailed(action=action, reason=reason[:500])


def default_endpoint(value: str) -> str:
    """Return a checked endpoint.

    Raises
    ------
    errors.EngineUnavailable
        It is not of an endpoint's form.
    """
    try:
        return str(parse_host(value))
    except docker.errors.DockerException:
        raise errors.EngineUnavailable(endpoint=value) from None
