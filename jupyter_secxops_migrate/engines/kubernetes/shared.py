"""What the roles of one engine share: its connection and namespace, and what is known of both.

The engines of `KubernetesEngine.at` have one in common. It decides nothing: the roles do.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ...placement.nodes import Node
from ...placement.requests import record_of
from ..orders import ImageProbe
from .build import Builders
from .clone import Clones
from .connection import Connection
from .jobs import Jobs
from .launcher import Launcher
from .namespace import Namespace
from .place import User
from .recent import Recent
from .registry import PushRegistry
from .room import Room
from .settings import KubernetesSettings
from .storage import Sight
from .trial import Trial
from .watched import Watched


class Shared:
    """One namespace of one cluster, by one account."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self.settings = settings
        self.api = Connection(settings.kubeconfig, settings.context)
        self.nodes = Watched(self.api, "/api/v1/nodes", Node.from_json)
        self.pods = Watched(self.api, "/api/v1/pods", record_of)
        self.recent = Recent(self.api)
        self.space = Namespace(self.api, settings)
        self.registries = PushRegistry(self.api, self.space, settings)
        self.builders = Builders(self.api, settings)
        self.room = Room(self.api, self.space, self.nodes, self.pods, settings)
        self.space.room = self.room
        self.trial = Trial(self.api, self.space, self.registries, settings)
        self.sight = Sight(self.api, self.recent, self.space, settings)
        self.clones = Clones(self.api, self.space, self.sight, settings)
        launcher: Any = settings.launcher_class
        self.launcher: Launcher = launcher(self.space, settings)
        self.users: dict[tuple[str, str], User | None] = {}
        """Who runs a container's programs, by its pod's uid and its name."""
        self.probed: dict[tuple[str, int | None], ImageProbe] = {}
        """What images are like, by digest and user."""
        self._releasing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Release connections."""
        for task in self._releasing:
            task.cancel()
        await asyncio.gather(*self._releasing, return_exceptions=True)
        for watched in (self.nodes, self.pods, self.space.ours, self.launcher):
            await watched.close()
        await self.registries.close()
        await self.api.close()

    async def jobs(self) -> Jobs:
        """Return what runs Jobs in the namespace."""
        return Jobs(self.space, await self.space.name(), self._releasing)
