"""An engine that is composed of its roles: each is somebody's, and what is asked of the engine, asked of them.

What each method promises stands in `roles`. What only some can do (`Distant`, `Pushes`, `ReadsProjects`,
`ReadsVolumes`) is not here: an engine that can adds the method.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import errors
from ..model import Check, Orphan
from ..placement.policy import Capacity
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
    Observation,
    OwnOrder,
    Progress,
    SourceEnvironment,
    SourcePlace,
    TrialOrder,
    VerifyOrder,
    VerifyResult,
    VolumeSeen,
)
from .roles import Roles


class Composed:
    """Hands each call to who plays the role; ``roles`` is set by the engine."""

    roles: Roles

    async def source(self) -> SourceEnvironment:
        """Find out where this process runs, as the engine sees it."""
        return await self.roles.source.source()

    async def locate(self, path: Path) -> SourcePlace:
        """Say what a Job must mount to see ``path`` (absolute, resolved, as this process sees it)."""
        return await self.roles.source.locate(path)

    async def features(self) -> frozenset[str]:
        """Say what can be done with builds."""
        return await self.roles.images.features()

    def arguments(self) -> Mapping[str, str]:
        """Return the build arguments that every build gets."""
        return self.roles.images.arguments()

    async def image(self, reference: str) -> ImageInfo | None:
        """Inspect an image in the engine's store; None when it is not there."""
        return await self.roles.images.image(reference)

    def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        """Build, then tag; push where that is wanted, or where nodes can have it in no other way."""
        return self.roles.images.build(order)

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
        """Run the image once to learn its user, folders and JupyterLab."""
        return await self.roles.images.probe(
            migration, owner, image, reference, terms, pushed=pushed
        )

    async def remove_image(
        self, reference: str, *, pushed: bool = True, layers: bool = True
    ) -> None:
        """Remove an image if nothing uses it; ``pushed`` says that a registry may have it."""
        return await self.roles.images.remove_image(reference, pushed=pushed, layers=layers)

    async def clear_build(self, trace: BuildTrace, spare: Collection[str] = ()) -> None:
        """Remove what a build left, but for the ``spare`` ids and what has a name or is used by now."""
        return await self.roles.images.clear_build(trace, spare)

    def copy(self, order: CopyOrder) -> AsyncIterator[Progress | CopyResult]:
        """Copy one folder into a new volume."""
        return self.roles.volumes.copy(order)

    def own(self, order: OwnOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Hand the copied files to the image's user."""
        return self.roles.volumes.own(order)

    def verify(self, order: VerifyOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Check volumes against their manifests."""
        return self.roles.volumes.verify(order)

    async def launch(self, order: LaunchOrder) -> Observation:
        """Create and start the environment, or adopt the one that is there."""
        return await self.roles.environments.launch(order)

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at the launched environment; status ``gone`` when there is none."""
        return await self.roles.environments.inspect(migration, fresh=fresh)

    async def look_inside(self, order: InsideOrder) -> Sequence[VolumeSeen]:
        """Look from inside the running environment, as its own user, at what was copied."""
        return await self.roles.environments.look_inside(order)

    async def stop(self, migration: str) -> None:
        """Stop the environment; volumes stay."""
        return await self.roles.environments.stop(migration)

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment."""
        return await self.roles.environments.start(migration)

    async def launched(self, owner: str) -> Sequence[Launched]:
        """List this owner's environments whose shares the engine itself can tell of."""
        return await self.roles.environments.launched(owner)

    async def doctor(self) -> list[Check]:
        """Check that the engine answers and has what a share needs; never raises."""
        return await self.roles.housekeeping.doctor()

    async def capacity(self, volumes: Sequence[str], sizes: Sequence[int | None] = ()) -> Capacity:
        """Observe the places where an environment can run that mounts copies of these volumes."""
        return await self.roles.housekeeping.capacity(volumes, sizes)

    async def try_out(self, order: TrialOrder) -> Sequence[errors.SecxopsError]:
        """Return what would refuse a share in the middle, as far as it can be asked; makes nothing."""
        return await self.roles.housekeeping.try_out(order)

    async def identity(self) -> str:
        """Return what tells this notebook's objects from those of others, even after its record is lost."""
        return await self.roles.housekeeping.identity()

    async def end_jobs(self, migration: str) -> None:
        """End and remove an operation's Jobs."""
        return await self.roles.housekeeping.end_jobs(migration)

    async def delete(self, migration: str) -> None:
        """Remove environment, Jobs and volumes."""
        return await self.roles.housekeeping.delete(migration)

    async def owned(self, owner: str) -> list[Orphan]:
        """List all objects of this owner that carry our labels."""
        return await self.roles.housekeeping.owned(owner)

    async def remove(self, objects: Sequence[Orphan]) -> None:
        """Remove listed objects."""
        return await self.roles.housekeeping.remove(objects)
