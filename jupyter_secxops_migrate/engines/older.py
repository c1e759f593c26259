"""Engines of other packages that were written for the release before roles: they work for one more.

Such an engine has the methods of `engines.base` as that release had them. What it is asked now and had
no word for is answered here, where an honest answer needs nothing from it; where it does, that is said
as an error. Nothing of ours needs this file, which goes with the next release.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import errors
from ..model import Check, Orphan, PodSource
from ..placement.policy import Capacity
from ..threads import ended
from .errors import LaunchFailed
from .orders import (
    BuildOrder,
    BuildResult,
    BuildTrace,
    CopyOrder,
    CopyResult,
    ImageInfo,
    ImageProbe,
    InsideOrder,
    Launched,
    LaunchOrder,
    LookOrder,
    Observation,
    OwnOrder,
    Progress,
    PushOrder,
    PushResult,
    SourceEnvironment,
    SourcePlace,
    TrialOrder,
    VerifyOrder,
    VerifyResult,
    VolumeSeen,
)
from .roles import Engine

NOBODY = "nobody"
"""An id that no operation has: what it has made is absent, so only the image is removed with it."""

METHODS = frozenset(
    [
        "at",
        "close",
        "doctor",
        "source",
        "locate",
        "capacity",
        "features",
        "arguments",
        "image",
        "build",
        "probe",
        "copy",
        "own",
        "verify",
        "launch",
        "inspect",
        "stop",
        "start",
        "end_jobs",
        "delete",
        "owned",
        "remove",
    ]
)
"""What every engine of the release before has."""

log = logging.getLogger(__name__)


def adapted(engine: Any) -> Engine:
    """Return an engine as it is, or one of the release before as it has to be now, and warn of that.

    Raises
    ------
    TypeError
        It is no engine of either release; the text says what it lacks.
    """
    if hasattr(engine, "remove_image"):
        found: Engine = engine
        return found
    lacking = sorted(name for name in METHODS if not hasattr(engine, name))
    kind = f"{type(engine).__module__}.{type(engine).__qualname__}"
    if lacking:
        raise TypeError(f"{kind} is no engine: it has no {', '.join(lacking)}.")
    log.warning(
        "The engine %s (%s) was made for the release before this one, and the next does not take it. Until "
        "then it works, but nothing is proved from inside a copy. Ask whoever made it for a newer version.",
        engine.name,
        kind,
    )
    return OlderEngine(engine) if engine.reads_projects else OlderGivenContexts(engine)


class OlderEngine:
    """Asks an engine of the release before in its own words.

    Parameters
    ----------
    engine
        It.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.name: str = engine.name

    @property
    def outside(self) -> bool:
        """Whether the source's files are elsewhere than this process's."""
        return bool(self._engine.outside)

    def at(self, source: PodSource | None) -> Engine:
        """Return this engine for another source than its own."""
        found = self._engine.at(source)
        return self if found is self._engine else type(self)(found)

    async def close(self) -> None:
        """Release connections."""
        await self._engine.close()

    # ------------------------------------------------------------------ source, housekeeping

    async def source(self) -> SourceEnvironment:
        """Find out where this process runs."""
        found: SourceEnvironment = await self._engine.source()
        return found

    async def locate(self, path: Path) -> SourcePlace:
        """Say what a Job must mount to see a path."""
        found: SourcePlace = await self._engine.locate(path)
        return found

    async def look(self, order: LookOrder) -> Mapping[str, Any]:
        """Look at a project where the source's files are."""
        found: Mapping[str, Any] = await self._engine.look(order)
        return found

    async def doctor(self) -> list[Check]:
        """Check what the engine checks, and tell that it is of the release before."""
        told = Check(
            name="engine's version",
            state="warning",
            message=f"The engine {self.name} was made for the release before this one: it can't look into "
            "copies from inside.",
            hint="Ask whoever made it for a newer version; the next release does not take this one.",
        )
        return [*await self._engine.doctor(), told]

    async def capacity(self, volumes: Sequence[str], sizes: Sequence[int | None] = ()) -> Capacity:
        """Observe the places where an environment can run; sizes are nothing it knows of."""
        found: Capacity = await self._engine.capacity(volumes)
        return found

    async def try_out(self, order: TrialOrder) -> Sequence[errors.SecxopsError]:
        """Refuse nothing: what would refuse a share shows when it does."""
        return ()

    async def identity(self) -> str:
        """Return nothing: only the record tells what is whose."""
        return ""

    async def end_jobs(self, migration: str) -> None:
        """End and remove an operation's Jobs."""
        await self._engine.end_jobs(migration)

    async def delete(self, migration: str) -> None:
        """Remove environment, Jobs and volumes."""
        await self._engine.delete(migration)

    async def owned(self, owner: str) -> list[Orphan]:
        """List all objects of this owner."""
        return list(await self._engine.owned(owner))

    async def remove(self, objects: Sequence[Orphan]) -> None:
        """Remove listed objects."""
        await self._engine.remove(objects)

    # ------------------------------------------------------------------ images

    async def features(self) -> frozenset[str]:
        """Say what can be done with builds."""
        return frozenset(await self._engine.features())

    def arguments(self) -> Mapping[str, str]:
        """Return the build arguments that every build gets."""
        found: Mapping[str, str] = self._engine.arguments()
        return found

    async def image(self, reference: str) -> ImageInfo | None:
        """Inspect an image in the engine's store."""
        found: ImageInfo | None = await self._engine.image(reference)
        return found

    async def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        """Build; the name of the image is written down in a thread, before anything else is passed on."""
        may_push = order.push or "push" in await self.features()
        writing: list[asyncio.Task[None]] = []

        def named(reference: str) -> None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                order.named(reference, may_push)
            else:
                work = asyncio.to_thread(order.named, reference, may_push)
                writing.append(asyncio.create_task(work))

        asked: Any = {"named": named}
        try:
            async with aclosing(self._engine.build(replace(order, **asked))) as items:
                async for item in items:
                    while writing:
                        await ended(writing.pop(0))
                    yield item
        finally:
            for task in writing:
                await ended(task)

    def push(self, order: PushOrder) -> AsyncIterator[Progress | PushResult]:
        """Push an image that only its node has; asked where `features` says so."""
        found: AsyncIterator[Progress | PushResult] = self._engine.push(order)
        return found

    async def probe(
        self,
        migration: str,
        owner: str,
        image: ImageInfo,
        reference: str,
        terms: Mapping[str, Any],
        *,
        pushed: bool = True,
    ) -> ImageProbe:
        """Run the image once, which the engine knows by its digest."""
        found: ImageProbe = await self._engine.probe(
            migration, owner, image.digest, reference, terms, pushed=pushed
        )
        return found

    async def remove_image(
        self, reference: str, *, pushed: bool = True, layers: bool = True
    ) -> None:
        """Remove an image: with an operation that there is not, as the engine has no other way."""
        await self._engine.delete(NOBODY, reference, pushed=pushed)

    async def clear_build(self, trace: BuildTrace, spare: Collection[str] = ()) -> None:
        """Nothing: the engine never told what its builds leave."""

    # ------------------------------------------------------------------ volumes, environments

    def copy(self, order: CopyOrder) -> AsyncIterator[Progress | CopyResult]:
        """Copy one folder into a new volume."""
        # What is mounted later was among what is left out.
        exclude = [*order.exclude, *(p for p in order.mount_points if p not in order.exclude)]
        found: AsyncIterator[Progress | CopyResult] = self._engine.copy(
            replace(order, exclude=exclude)
        )
        return found

    def own(self, order: OwnOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Hand the copied files to the image's user."""
        found: AsyncIterator[Progress | VerifyResult] = self._engine.own(order)
        return found

    def verify(self, order: VerifyOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Check volumes against their manifests."""
        found: AsyncIterator[Progress | VerifyResult] = self._engine.verify(order)
        return found

    async def launch(self, order: LaunchOrder) -> Observation:
        """Create and start the environment.

        Raises
        ------
        LaunchFailed
            Part of a volume would have to be mounted, which the engine does not know.
        """
        if any(mount.part for mount in order.mounts):
            raise LaunchFailed(
                reason=f"the image has a VOLUME inside a copied folder, and the engine {self.name}, which was "
                "made for the release before this one, can't mount over it: leave the VOLUME out of the "
                "Dockerfile, or ask for a newer version of the engine",
                id=order.migration,
            )
        found: Observation = await self._engine.launch(order)
        return found

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at the launched environment."""
        found: Observation = await self._engine.inspect(migration, fresh=fresh)
        return found

    async def look_inside(self, order: InsideOrder) -> Sequence[VolumeSeen]:
        """Say that nothing was seen, which the evidence of the share says too."""
        return [VolumeSeen(paths=0) for _ in order.volumes]

    async def stop(self, migration: str) -> None:
        """Stop the environment."""
        await self._engine.stop(migration)

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment."""
        found: Observation = await self._engine.start(migration)
        return found

    async def launched(self, owner: str) -> Sequence[Launched]:
        """List nothing: only the record tells of shares."""
        return ()


class OlderGivenContexts(OlderEngine):
    """One that is given build contexts, and so reads its volumes for them."""

    def read_volume(self, migration: str, owner: str, volume: str) -> Iterator[bytes]:
        """Read a volume of ours as a tar stream."""
        found: Iterator[bytes] = self._engine.read_volume(migration, owner, volume)
        return found
