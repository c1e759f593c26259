"""Another package's engine and placement strategy, as they were written for the release before roles.

Imports and methods are those of that release: what keeps this file working keeps theirs. The work
itself is handed to folders.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from traitlets import Unicode
from traitlets.config import Configurable

from jupyter_secxops_migrate.engines.base import (
    BuildOrder,
    BuildResult,
    CopyOrder,
    CopyResult,
    ImageInfo,
    ImageProbe,
    LaunchOrder,
    LookOrder,
    Observation,
    OwnOrder,
    Progress,
    PushOrder,
    PushResult,
    SourceEnvironment,
    SourcePlace,
    VerifyOrder,
    VerifyResult,
)
from jupyter_secxops_migrate.engines.directory import DirectoryEngine
from jupyter_secxops_migrate.model import Check, Orphan, PodSource
from jupyter_secxops_migrate.placement.nodes import Node, PodNeeds
from jupyter_secxops_migrate.placement.policy import Capacity
from jupyter_secxops_migrate.placement.strategies import Terms


class WorkshopEngine(Configurable):
    """Runs containers in a workshop."""

    name = "workshop"
    reads_projects = False
    outside = False
    root = Unicode(help="Where the workshop is.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._does = DirectoryEngine(Path(self.root))

    def at(self, source: PodSource | None) -> WorkshopEngine:
        return self

    async def close(self) -> None:
        await self._does.close()

    async def doctor(self) -> list[Check]:
        return await self._does.doctor()

    async def source(self) -> SourceEnvironment:
        return await self._does.source()

    async def locate(self, path: Path) -> SourcePlace:
        return await self._does.locate(path)

    async def look(self, order: LookOrder) -> Mapping[str, Any]:
        raise NotImplementedError

    async def capacity(self, volumes: Sequence[str]) -> Capacity:
        return await self._does.capacity(volumes)

    async def features(self) -> frozenset[str]:
        return await self._does.features()

    def arguments(self) -> Mapping[str, str]:
        return {}

    async def image(self, reference: str) -> ImageInfo | None:
        return await self._does.image(reference)

    async def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        # As that release allowed: with one argument, and on the event loop.
        name: Any = order.named
        name(f"{order.repository}:{order.tag.format(digest=order.digest())}")
        again: Any = {"named": lambda reference, pushed: None}
        async for item in self._does.build(BuildOrder(**{**vars(order), **again})):
            yield item

    def push(self, order: PushOrder) -> AsyncIterator[Progress | PushResult]:
        raise NotImplementedError

    async def probe(
        self,
        migration: str,
        owner: str,
        image: str,
        reference: str,
        terms: Mapping[str, Any],
        *,
        pushed: bool = True,
    ) -> ImageProbe:
        found = await self._does.image(image)
        assert found is not None
        return await self._does.probe(migration, owner, found, reference, terms, pushed=pushed)

    def copy(self, order: CopyOrder) -> AsyncIterator[Progress | CopyResult]:
        return self._does.copy(order)

    def own(self, order: OwnOrder) -> AsyncIterator[Progress | VerifyResult]:
        return self._does.own(order)

    def verify(self, order: VerifyOrder) -> AsyncIterator[Progress | VerifyResult]:
        return self._does.verify(order)

    def read_volume(self, migration: str, owner: str, volume: str) -> Iterator[bytes]:
        return self._does.read_volume(migration, owner, volume)

    async def launch(self, order: LaunchOrder) -> Observation:
        return await self._does.launch(order)

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        return await self._does.inspect(migration, fresh=fresh)

    async def stop(self, migration: str) -> None:
        await self._does.stop(migration)

    async def start(self, migration: str) -> Observation:
        return await self._does.start(migration)

    async def end_jobs(self, migration: str) -> None:
        await self._does.end_jobs(migration)

    async def delete(
        self, migration: str, image: str | None = None, *, pushed: bool = True
    ) -> None:
        await self._does.delete(migration)
        if image is not None:
            await self._does.remove_image(image, pushed=pushed)

    async def owned(self, owner: str) -> list[Orphan]:
        return await self._does.owned(owner)

    async def remove(self, objects: Sequence[Orphan]) -> None:
        await self._does.remove(objects)


class OldestFirst:
    """A strategy that prefers nodes by their names."""

    name = "oldest-first"

    def terms(self, needs: PodNeeds, nodes: Sequence[Node]) -> Terms:
        wanted = {"key": "workshop", "operator": "Exists"}
        preferred = [{"weight": os.cpu_count() or 1, "preference": {"matchExpressions": [wanted]}}]
        return Terms(
            affinity={
                "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
            }
        )

    def rank(self, needs: PodNeeds, nodes: Sequence[Node]) -> Sequence[Node]:
        return sorted(nodes, key=lambda node: node.name)
