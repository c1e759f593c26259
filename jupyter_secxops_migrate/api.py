"""The seam between what people touch and what does the work.

Handlers, command line and magics know `MigrationApi` and nothing below it. Two classes
implement it: `jupyter_secxops_migrate.sharing.service.MigrationService` inside the service,
bound to one owner, and `jupyter_secxops_migrate.client.MigrationClient` over a socket.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol

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


class MigrationApi(Protocol):
    """What one owner can do. Every call that names an id raises `errors.NotFound` for an id
    that does not exist or belongs to someone else."""

    async def environment(
        self, project: str, data: Sequence[str] = (), source: PodSource | None = None
    ) -> Environment:
        """Observe the running environment of a project, in another pod where one is named; touches
        nothing."""
        ...

    async def plan(self, request: ShareRequest) -> Plan:
        """Decide what a share would do; touches nothing."""
        ...

    async def share(self, request: ShareRequest, idempotency_key: str | None = None) -> Migration:
        """Record a share and queue it; the same key with the same body gives the same one."""
        ...

    async def get(
        self, migration_id: str, *, token: bool = False, changes: bool = False
    ) -> Migration:
        """Return one migration; with ``token``, ``result.url`` carries its token.

        With ``changes`` it says what changed at its source since, which takes some seconds at most.
        """
        ...

    async def list(
        self, limit: int | None = None, before: str | None = None
    ) -> Sequence[Migration]:
        """Return the owner's migrations, newest first.

        At most ``limit`` of them, and only those that are older than the one with the id ``before``.
        What is said of launched environments may be some seconds older than what `get` says.
        """
        ...

    def events(
        self, migration_id: str | None = None, after: int | None = None
    ) -> AsyncGenerator[Event]:
        """Yield events as they happen, after replaying those past sequence number ``after``.

        With ``after=None`` a stream starts now; ``after=0`` replays all. With a migration it
        ends after that migration's final state was yielded.
        """
        ...

    async def log(self, migration_id: str) -> str:
        """Return the share's log so far, all attempts, one line per entry."""
        ...

    async def cancel(self, migration_id: str) -> Migration:
        """Ask it to end; idempotent; raises `errors.WrongState` when it has succeeded or failed."""
        ...

    async def retry(self, migration_id: str) -> Migration:
        """Run a failed or cancelled one again as its next attempt, adopting what is left."""
        ...

    async def stop(self, migration_id: str) -> Migration:
        """Stop the launched environment; its volumes and image stay."""
        ...

    async def start(self, migration_id: str) -> Migration:
        """Start a stopped environment again."""
        ...

    async def delete(self, migration_id: str) -> None:
        """Remove container, volumes, image if unused, and the record; absent is success.

        One that is still running is cancelled first.
        """
        ...

    async def orphans(self) -> Sequence[Orphan]:
        """List the owner's objects in the engine that no share accounts for."""
        ...

    async def sweep(self) -> Sequence[Orphan]:
        """Remove the orphans; return what was removed."""
        ...

    async def adopt(self) -> Sequence[Migration]:
        """Take launched shares that only the engine knows into the record; return them."""
        ...

    async def doctor(self) -> ServiceReport:
        """Check the service, its engine and its surroundings."""
        ...


class Calls(Protocol):
    """What a room's part of the client stands on: requests to the service, over its starts and ends."""

    repeats: int
    """How many requests were sent again, because the service ended under them."""

    async def read(self, method: str, path: str, **options: Any) -> bytes:
        """Send a request and return the body of its success; its error is raised.

        ``path`` is relative to the API's root and quoted; ``options`` may have ``params``, ``headers``,
        ``content``, and ``repeat``, which says whether it may be sent again.
        """
        ...
