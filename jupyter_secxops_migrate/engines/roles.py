"""What an engine does for an operation, by role.

An engine runs containers: it knows nothing of HTTP clients, of the store, or of the order in which an
operation calls it. Contract for all implementations:

* Every object's name derives from the operation's id (`Names`), and every object carries the
  `labels`; so a repeated call *adopts* what an interrupted one left.
* Deleting what is absent is success.
* A long call is an async iterator: it yields `LogLine` and `Measure` items while it works, and
  its last item is the result. Cancelling the task that iterates ends the work in the engine.
* Errors are those of `jupyter_secxops_migrate.errors`.

What only some engines can do is a role of its own (`Distant`, `Pushes`, `ReadsProjects`, `ReadsVolumes`): who
can't do it does not have the method. `jupyter_secxops_migrate.engines.conformance` tries all of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from .. import errors
from ..model import Check, Orphan, PodSource
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
    LookOrder,
    Observation,
    OwnOrder,
    Progress,
    PushOrder,
    PushResult,
    ReadOrder,
    SourceEnvironment,
    SourcePlace,
    TrialOrder,
    VerifyOrder,
    VerifyResult,
    VolumeSeen,
)


class Source(Protocol):
    """Where notebooks run that are shared."""

    async def source(self) -> SourceEnvironment:
        """Find out where this process runs, as the engine sees it."""
        ...

    async def locate(self, path: Path) -> SourcePlace:
        """Say what a Job must mount to see ``path`` (absolute, resolved, as this process sees it).

        Raises `ContainerLayer` for a path on a container's own writable layer.
        """
        ...


@runtime_checkable
class Distant(Protocol):
    """A source whose files may be elsewhere than this process's."""

    outside: bool
    """Whether they are, so that `look` has to be asked."""

    async def look(self, order: LookOrder) -> Mapping[str, Any]:
        """Return what `environment.look` says of a project, run where the source's files are.

        Raises what surveying raises, and what `Source.locate` raises for the paths of the order.
        """
        ...


@runtime_checkable
class ReadsProjects(Protocol):
    """A distant source that gives out projects' files, for a target that is given build contexts."""

    def read_project(self, order: ReadOrder) -> Iterator[bytes]:
        """Read a project as a tar stream (blocking; entries are named from ``./``).

        Raises `SourceReplaced` where its folder is another one now.
        """
        ...


class Images(Protocol):
    """What builds images, and has them."""

    async def features(self) -> frozenset[str]:
        """Say what can be done with builds: ``buildkit``, `ALWAYS_BUILDKIT` if it builds all there
        is, and ``syntax-1.4`` if without help; ``push`` where another node can have the image; and
        `NESTED`."""
        ...

    def arguments(self) -> Mapping[str, str]:
        """Return the build arguments that every build gets."""
        ...

    async def image(self, reference: str) -> ImageInfo | None:
        """Inspect an image in the engine's store; None when it is not there."""
        ...

    def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        """Build, then tag; push where that is wanted, or where nodes can have it in no other way."""
        ...

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
        """Run the image once to learn its user, folders and JupyterLab.

        ``image`` is as its build said; ``terms`` are the plan's, so that it runs where the environment may;
        ``pushed`` says that a registry has it.
        """
        ...

    async def remove_image(
        self, reference: str, *, pushed: bool = True, layers: bool = True
    ) -> None:
        """Remove an image if nothing uses it; ``pushed`` says that a registry may have it.

        ``layers`` has untagged images go along that it was made of, but for those that others are made of:
        without it, another build may stand on them meanwhile (`clear_build`).
        """
        ...

    async def clear_build(self, trace: BuildTrace, spare: Collection[str] = ()) -> None:
        """Remove what a build left, but for the ``spare`` ids and what has a name or is used by now."""
        ...


@runtime_checkable
class Pushes(Protocol):
    """An engine of several nodes, which find an image in a registry."""

    def push(self, order: PushOrder) -> AsyncIterator[Progress | PushResult]:
        """Push an image that only its node has."""
        ...


class Volumes(Protocol):
    """What copies folders into volumes, and proves them."""

    def copy(self, order: CopyOrder) -> AsyncIterator[Progress | CopyResult]:
        """Copy one folder into a new volume."""
        ...

    def own(self, order: OwnOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Hand the copied files to the image's user."""
        ...

    def verify(self, order: VerifyOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Check volumes against their manifests."""
        ...


@runtime_checkable
class ReadsVolumes(Protocol):
    """An engine that is given build contexts; one that is not makes them beside the project
    (`BuildOrder.place`)."""

    def read_volume(self, migration: str, owner: str, volume: str) -> Iterator[bytes]:
        """Read a volume of ours as a tar stream (blocking; entries are named from ``./``)."""
        ...


class Environments(Protocol):
    """What runs copies."""

    async def launch(self, order: LaunchOrder) -> Observation:
        """Create and start the environment, or adopt the one that is there."""
        ...

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at the launched environment; status ``gone`` when there is none.

        Without ``fresh`` an engine that is told of changes answers from what it was told.
        """
        ...

    async def look_inside(self, order: InsideOrder) -> Sequence[VolumeSeen]:
        """Look from inside the running environment, as its own user, at what was copied."""
        ...

    async def stop(self, migration: str) -> None:
        """Stop the environment; volumes stay."""
        ...

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment."""
        ...

    async def launched(self, owner: str) -> Sequence[Launched]:
        """List this owner's environments whose shares the engine itself can tell of."""
        ...


class Housekeeping(Protocol):
    """What a place has room for, what is there of ours, and how it goes."""

    async def doctor(self) -> list[Check]:
        """Check that the engine answers and has what a share needs; never raises."""
        ...

    async def capacity(self, volumes: Sequence[str], sizes: Sequence[int | None] = ()) -> Capacity:
        """Observe the places where an environment can run that mounts copies of these volumes.

        ``sizes`` are the bytes on disk that each copy will hold, None where that is not known.
        """
        ...

    async def try_out(self, order: TrialOrder) -> Sequence[errors.SecxopsError]:
        """Return what would refuse a share in the middle, as far as it can be asked; makes nothing."""
        ...

    async def identity(self) -> str:
        """Return what tells this notebook's objects from those of others, even after its record is lost.

        Empty where nothing but the record does.
        """
        ...

    async def end_jobs(self, migration: str) -> None:
        """End and remove an operation's Jobs."""
        ...

    async def delete(self, migration: str) -> None:
        """Remove environment, Jobs and volumes."""
        ...

    async def owned(self, owner: str) -> list[Orphan]:
        """List all objects of this owner that carry our labels."""
        ...

    async def remove(self, objects: Sequence[Orphan]) -> None:
        """Remove listed objects."""
        ...


@dataclass(frozen=True)
class Roles:
    """Who plays which role: one engine all of them, or several."""

    source: Source
    images: Images
    volumes: Volumes
    environments: Environments
    housekeeping: Housekeeping


@dataclass(frozen=True)
class Ends:
    """Where an operation begins, and where what it makes goes: two engines, or one that is both."""

    source: Engine
    target: Engine

    def at(self, source: PodSource | None) -> Roles:
        """Return who plays which role for a source."""
        there = self.source.at(source)
        here = there if self.target is self.source else self.target
        return Roles(there, here, here, here, here)

    async def close(self) -> None:
        """Release connections."""
        await self.source.close()
        if self.target is not self.source:
            await self.target.close()


class Engine(Source, Images, Volumes, Environments, Housekeeping, Protocol):
    """A place that plays all roles, as an admin configures it."""

    name: str

    def at(self, source: PodSource | None) -> Engine:
        """Return this engine as it is for another source than its own; itself for None.

        Raises `errors.InvalidRequest` where sources have no pods. A service that has more rights
        than those who ask it names the pod itself, and takes no name from a request.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


def builds_from(roles: Roles) -> Literal["here", "source", "place", "nowhere"]:
    """Return where the files come from that an image is built of.

    An engine that is given no contexts makes them beside the project, at its `SourcePlace`. For any other they are
    read by this process: here, or from a distant source that gives them out. Of one that does not they are
    nowhere: what lies here at the project's path is something else.
    """
    if not isinstance(roles.volumes, ReadsVolumes):
        return "place"
    if (there := distant(roles.source)) is None:
        return "here"
    return "source" if isinstance(there, ReadsProjects) else "nowhere"


def distant(engine: Source) -> Distant | None:
    """Return what looks at projects there, where this process does not see the source's files."""
    return engine if isinstance(engine, Distant) and engine.outside else None
