"""What a room gives, and gets, so that the service of all kinds can take on its kind of operation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..engines.roles import Engine
from ..placement.policy import ResourcePolicy
from .record import Schema
from .service import Operations


@dataclass(frozen=True)
class Surroundings:
    """What all kinds stand on: a folder for their things, where containers run, and what may run there.

    Only its owner may enter the folder. ``source`` is where sources are, if not on ``engine``.
    """

    folder: Path
    engine: Engine
    policy: ResourcePolicy
    source: Engine | None = None


class KindService(Protocol):
    """What the service of one kind does when the service of all kinds begins and ends."""

    async def opened(self) -> None:
        """Look at the record, before anything goes on."""
        ...

    async def leave(self) -> None:
        """End what it does beside its operations."""
        ...

    async def left(self) -> None:
        """Let go of what operations need, once none is under way any more."""
        ...

    def for_owner(self, owner: str) -> Any:
        """Return the API that its routes call, bound to one owner."""
        ...


class Room(Protocol):
    """The module ``kind`` of a room."""

    SCHEMA: Schema[Any, Any]
    """How its operations are kept."""

    def service(self, operations: Operations, around: Surroundings) -> KindService:
        """Return its service, which has registered its kind."""
        ...
