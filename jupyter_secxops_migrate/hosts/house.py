"""All kinds of operations in one service: one record, one runner, and each kind's own service beside the others.

What a room's kind is made of, its ``kind`` module says (`operations.tenant.Room`). Nothing here knows one of them.
"""

from __future__ import annotations

from typing import Any, cast

from .. import rooms
from ..operations.runner import PATIENCE_SECONDS
from ..operations.service import Operations
from ..operations.tenant import KindService, Room, Surroundings


class House:
    """The service of every kind of operation; implements `application.HostedService`.

    Parameters
    ----------
    around
        What all kinds stand on.
    store_url
        SQLAlchemy URL of the record; empty: a SQLite file in the folder.
    workers
        How many operations are under way at once.
    patience
        How long an operation waits for somebody who is away, in seconds.
    """

    def __init__(
        self,
        around: Surroundings,
        store_url: str = "",
        workers: int = 2,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        parts = [cast("Room", part) for part in rooms.parts("kind", rooms.KINDS)]
        schemas = [part.SCHEMA for part in parts]
        self.operations = Operations.open_in(around.folder, store_url, schemas, workers, patience)
        self.services: dict[str, KindService] = {
            name: part.service(self.operations, around)
            for name, part in zip(rooms.KINDS, parts, strict=True)
        }

    async def start(self) -> None:
        """Open the record and go on with what was under way."""
        await self.operations.start(self._opened)

    async def _opened(self) -> None:
        for service in self.services.values():
            await service.opened()

    async def close(self) -> None:
        """Let go of everything; what is under way is taken up again by the next start."""
        for service in self.services.values():
            await service.leave()
        await self.operations.close()
        for service in self.services.values():
            await service.left()
        await self.operations.close_record()

    def busy(self) -> bool:
        """Whether something is queued or under way."""
        return self.operations.busy()

    def for_owner(self, owner: str, room: str = "sharing") -> Any:
        """Return a room's API bound to one owner."""
        return self.services[room].for_owner(owner)
