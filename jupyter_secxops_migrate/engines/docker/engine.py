"""The `Engine` of one Docker host: who plays which role of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ... import errors
from ...model import PodSource
from ..composed import Composed
from ..roles import Roles
from .connection import Connection, default_endpoint
from .housekeeping import Housekeeping
from .images import Images
from .launcher import Launcher
from .settings import DockerSettings
from .source import Source
from .volumes import Volumes


class DockerEngine(DockerSettings, Composed):
    """Containers, images and volumes of one Docker host, through its API.

    Raises `EngineUnavailable`, `EngineForbidden` or `errors.EngineFailed`.
    """

    name = "docker"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._connection = Connection(default_endpoint(self.endpoint))
        self._images = Images(self._connection, self)
        self._volumes = Volumes(self._connection, self, self._images)
        launcher: Any = self.launcher_class
        self._launcher: Launcher = launcher(self._connection, self)
        self.roles = Roles(
            Source(self._connection),
            self._images,
            self._volumes,
            self._launcher,
            Housekeeping(self._connection, self, self._images),
        )

    async def close(self) -> None:
        """Release the connection."""
        await self._launcher.close()
        self._connection.close()

    def at(self, source: PodSource | None) -> DockerEngine:
        """Return this engine: its source is where this process runs."""
        if source is not None:
            raise errors.InvalidRequest(reason="source: Docker has no pods")
        return self

    async def prepare(self) -> str:
        """Return the tools image, made on first use."""
        return await self._images.prepare()

    def read_volume(self, migration: str, owner: str, volume: str) -> Iterator[bytes]:
        """Read a volume as a tar stream (blocking)."""
        return self._volumes.read_volume(migration, owner, volume)
