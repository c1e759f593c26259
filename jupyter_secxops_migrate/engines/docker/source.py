"""Where this process runs on a Docker host: on the host itself, or in a container of the engine.

Plays the role `Source`; what it says, it reads from what `place` finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..orders import SourceEnvironment, SourcePlace
from . import place
from .connection import Connection


class Source:
    """The notebooks beside this process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def source(self) -> SourceEnvironment:
        """Find out where this process runs."""
        info = await self._connection.call("answer", lambda api: api.info())
        node = str(info.get("Name") or "docker")
        own = await self._own()
        if not own:
            return SourceEnvironment("host", node)
        cpu, memory, gpu = place.limits_of(own)
        return SourceEnvironment(
            "container",
            node,
            container=own["Name"].lstrip("/"),
            image=own["Image"],
            cpu=cpu,
            memory=memory,
            gpu=gpu,
            mounts=place.mounts_of(own),
        )

    async def locate(self, path: Path) -> SourcePlace:
        """Say what a Job must mount to see ``path``."""
        return place.locate(await self._own() or None, path)

    async def _own(self) -> Mapping[str, Any]:
        return await self._connection.call(
            "find out where this process runs", lambda api: place.own_container(api) or {}
        )
