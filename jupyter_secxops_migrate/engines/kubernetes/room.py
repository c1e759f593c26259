"""Room that pods of ours take from each other: it comes back by itself, so it is waited for.

On a full node the Jobs of shares run one after the other. Nobody waits for ever: what was started ahead of
its time and only waits is ended as soon as anything waits for room, so whatever has room comes to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from ...placement.nodes import HOSTNAME, Node
from ...placement.requests import MANAGED_BY, MANAGER, ROLE, PodRecord, record_of, resources
from .connection import Connection, Json
from .errors import ClusterForbidden, QuotaExceeded
from .namespace import Namespace
from .settings import KubernetesSettings
from .watched import Watched

T = TypeVar("T")
AHEAD = 4
"""Room for so many Jobs has to be free where one is started ahead of its time."""
LISTED_SECONDS = 5
QUOTA_SECONDS = 2
_SHORT = ("Insufficient ", "Too many pods")


class Room:
    """Who may be waited for, and who only waits; one for all shares of a service."""

    def __init__(
        self,
        api: Connection,
        space: Namespace,
        nodes: Watched[Node],
        pods: Watched[PodRecord],
        settings: KubernetesSettings,
    ) -> None:
        self._api = api
        self._space = space
        self._nodes = nodes
        self._pods = pods
        self._settings = settings
        self._ahead: dict[str, Callable[[], Awaitable[None]]] = {}
        self._giving = asyncio.Lock()
        self._listed: tuple[float, list[PodRecord]] = (-LISTED_SECONDS, [])

    async def spare(self, hostname: str) -> bool:
        """Whether a node, by its hostname label, has room for what is not needed yet; so if unseen."""
        try:
            nodes = [node for node in await self._nodes.items() if node.hostname == hostname]
            pods = await self._pods.items()
        except ClusterForbidden:
            return True
        one = resources(self._settings.job_requests)
        for node in nodes:
            left = node.allocatable
            for pod in pods:
                if pod.node == node.name:
                    left = left.minus(pod.requests)
            if left.cpu < AHEAD * one.cpu or left.memory < AHEAD * one.memory or left.pods < AHEAD:
                return False
        return True

    def started_ahead(self, name: str, end: Callable[[], Awaitable[None]]) -> None:
        """Note a Job that waits, and what ends it."""
        self._ahead[name] = end

    async def needed(self, name: str) -> None:
        """Leave a Job alone from now on: its time has come."""
        async with self._giving:
            self._ahead.pop(name, None)

    async def comes(self, pod: Json) -> bool:
        """Whether a pod that the scheduler has no place for only waits for Jobs of ours to end."""
        if not short_of_room(pod):
            return False
        await self._give_way()
        pinned = (pod["spec"].get("nodeSelector") or {}).get(HOSTNAME)
        names = {pinned} | {node.name for node in await self._seen() if node.hostname == pinned}
        return any(not pinned or found.node in names for found in await self._passing(pod))

    async def within_quota(self, make: Callable[[], Awaitable[T]]) -> T:
        """Make something that a quota may be against only until Jobs of ours have ended.

        Raises
        ------
        QuotaExceeded
            No Job of ours runs in the namespace.
        """
        while True:
            try:
                return await make()
            except QuotaExceeded:
                await self._give_way()
                namespace = await self._space.name()
                if not any(found.namespace == namespace for found in await self._passing()):
                    raise
            await asyncio.sleep(QUOTA_SECONDS)

    async def _give_way(self) -> None:
        async with self._giving:
            while self._ahead:
                _, end = self._ahead.popitem()
                await end()

    async def _seen(self) -> Iterable[Node]:
        try:
            return await self._nodes.items()
        except ClusterForbidden:
            return ()

    async def _passing(self, but: Json | None = None) -> list[PodRecord]:
        """Return the Jobs of ours that have room; of the namespace where no others may be seen."""
        try:
            found = [pod for pod in await self._pods.items() if pod.passing]
        except ClusterForbidden:
            found = await self._of_namespace()
        if but is not None:
            own = (but["metadata"].get("namespace"), but["metadata"]["name"])
            found = [pod for pod in found if (pod.namespace, pod.name) != own]
        return found

    async def _of_namespace(self) -> list[PodRecord]:
        now = asyncio.get_running_loop().time()
        when, found = self._listed
        if now - when >= LISTED_SECONDS:
            marks = f"{MANAGED_BY}={MANAGER},{ROLE}=job"
            rows = await self._api.list(await self._space.path("pod"), labelSelector=marks)
            found = [pod for row in rows if (pod := record_of(row)) is not None]
            self._listed = (now, found)
        return found


def short_of_room(pod: Json) -> bool:
    """Whether the scheduler says of a pod that it finds no room for it, for whatever other reasons besides."""
    return any(
        row["type"] == "PodScheduled"
        and row["status"] == "False"
        and any(words in str(row.get("message") or "") for words in _SHORT)
        for row in (pod.get("status") or {}).get("conditions") or ()
    )
