"""`MigrationClient`: `MigrationApi` from outside, sharing's calls together with those of the service itself.

Another room's part of the client is no base of this class, which would have two rooms quarrel about ``get``: it is a class
of its own, made of `MigrationClient.calls`, and named nowhere here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from types import TracebackType

from ..api import Calls
from ..model import Event, Migration, Orphan, ServiceReport
from ..runtime import Runtime
from ..sharing.client import SharingCalls
from . import stream
from .connection import Connection
from .starting import COMMAND, ensure_service


class MigrationClient(SharingCalls):
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
        super().__init__(self._connection)

    async def __aenter__(self) -> MigrationClient:
        """Have the service there, of this version if it can be."""
        if self._local:
            starting = asyncio.create_task(
                asyncio.to_thread(ensure_service, self._runtime, self._command)
            )
            await asyncio.sleep(0)
            # Takes a third of a second, while the service's process takes more.
            import httpx  # noqa: F401 - imported so that it is there

            await starting
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def calls(self) -> Calls:
        """What carries the requests: another room makes its own part of the client of it."""
        return self._connection

    async def close(self) -> None:
        """Close the connection; the service stays."""
        await self._connection.close()

    def events(
        self, migration_id: str | None = None, after: int | None = None
    ) -> AsyncGenerator[Event]:
        """Yield events, across breaks of the connection and restarts of the service."""
        return stream.events(self._connection, migration_id, after)

    async def orphans(self) -> Sequence[Orphan]:
        """List the owner's objects in the engine that no share accounts for."""
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
