"""The `Engine` of one Docker host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ... import errors
from ...model import Check, Orphan, PodSource
from ...placement.policy import Capacity, OneNode
from ..errors import ToolsImageMissing
from ..orders import (
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
from . import housekeeping, place
from .accounts import missing_helpers
from .capacity import capacity_of
from .connection import Connection, default_endpoint, product
from .images import Images, remove_unused
from .launcher import Launcher
from .probe import look_into
from .settings import DockerSettings
from .volumes import Volumes


class DockerEngine(DockerSettings):
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

    async def close(self) -> None:
        """Release the connection."""
        await self._launcher.close()
        self._connection.close()

    def at(self, source: PodSource | None) -> DockerEngine:
        """Return this engine: its source is where this process runs."""
        if source is not None:
            raise errors.InvalidRequest(reason="source: Docker has no pods")
        return self

    # ------------------------------------------------------------------ surroundings

    async def doctor(self) -> list[Check]:
        """Check that Docker answers and has what a share needs; never raises."""
        try:
            answering = await self._connection.call("answer", product)
        except errors.SecxopsError as error:
            return [Check(name="engine", state="failed", message=error.message, hint=error.hint)]
        found = [Check(name="engine", state="ok", message=f"{answering} answers.")]
        image = self.tools_image or self.tools_base
        if refused := await self._images.tools_refused():
            found.append(
                Check(
                    name="tools image",
                    state="failed",
                    message=refused.message,
                    hint=refused.hint,
                )
            )
        elif await self.image(image) is None:
            hint = ToolsImageMissing(reason="").hint
            found.append(
                Check(
                    name="tools image",
                    state="warning",
                    message=f"{image} is not there yet; the first share will try to pull it.",
                    hint=hint,
                )
            )
        else:
            found.append(Check(name="tools image", state="ok", message=f"{image} is there."))
        if problem := await self._images.accounts_refused():
            found.append(
                Check(
                    name="accounts",
                    state="failed",
                    message=problem.message,
                    hint=problem.hint,
                )
            )
        elif missing := await self._connection.call("find your accounts", missing_helpers):
            found.append(
                Check(
                    name="accounts",
                    state="warning",
                    message=f"Your Docker configuration names {', '.join(missing)}, which is not here: "
                    "its passwords for registries can't be used.",
                    hint="Install it, or remove credsStore and credHelpers from ~/.docker/config.json and "
                    "use `docker login`, if your projects start from private images.",
                )
            )
        if self.index_has_password:
            found.append(
                Check(
                    name="package index",
                    state="warning",
                    message="PIP_INDEX_URL holds a password and is not passed to image builds: "
                    "the image's history would show it.",
                    hint="Use an index without a password for builds (DockerEngine.package_index).",
                )
            )
        return found

    async def _own(self) -> Mapping[str, Any]:
        return await self._connection.call(
            "find out where this process runs", lambda api: place.own_container(api) or {}
        )

    async def source(self) -> SourceEnvironment:
        """Find out where this process runs."""
        node = await self._node()
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

    async def _node(self) -> str:
        info = await self._connection.call("answer", lambda api: api.info())
        return str(info.get("Name") or "docker")

    async def locate(self, path: Path) -> SourcePlace:
        """Say what a Job must mount to see ``path``."""
        return place.locate(await self._own() or None, path)

    async def capacity(self, volumes: Sequence[str], sizes: Sequence[int | None] = ()) -> Capacity:
        """Observe the host: what it has, what the limits of running containers ask of it."""
        return OneNode(await self._connection.call("report its resources", capacity_of, long=True))

    async def try_out(self, order: TrialOrder) -> Sequence[errors.SecxopsError]:
        """Ask whether images can be had as they are needed; an engine makes all else that it is asked for."""
        found = await self._images.accounts_refused() or await self._images.tools_refused()
        return () if found is None else (found,)

    async def features(self) -> frozenset[str]:
        """Say what the builder can do."""
        return await self._images.features()

    # ------------------------------------------------------------------ images

    async def image(self, reference: str) -> ImageInfo | None:
        """Inspect an image; None when it is not there."""
        return await self._images.inspect(reference)

    def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        """Build, then tag."""
        return self._images.build(order)

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
        """Run the image once, without network or rights, to learn its user and its JupyterLab."""
        info = await self.image(image.digest)
        if info is None:
            raise errors.EngineFailed(action="run the image", reason=f"{reference} is not there")
        return await look_into(self._connection, migration, owner, info, seconds=self.probe_timeout)

    async def prepare(self) -> str:
        """Return the tools image, made on first use."""
        return await self._images.prepare()

    # ------------------------------------------------------------------ volumes

    def copy(self, order: CopyOrder) -> AsyncIterator[Progress | CopyResult]:
        """Copy one folder into a new volume, in a Job."""
        return self._volumes.copy(order)

    def own(self, order: OwnOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Hand the copied files to the image's user."""
        return self._volumes.own(order)

    def verify(self, order: VerifyOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Check volumes, mounted read-only, against their manifests."""
        return self._volumes.verify(order)

    def read_volume(self, migration: str, owner: str, volume: str) -> Iterator[bytes]:
        """Read a volume as a tar stream (blocking)."""
        return self._volumes.read_volume(migration, owner, volume)

    # ------------------------------------------------------------------ the environment

    async def launch(self, order: LaunchOrder) -> Observation:
        """Create and start the environment, or adopt the one that is there, and wait for it."""
        return await self._launcher.launch(order)

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at the launched environment."""
        return await self._launcher.inspect(migration, fresh=fresh)

    async def look_inside(self, order: InsideOrder) -> Sequence[VolumeSeen]:
        """Look from inside the environment, as its own user, at what was copied."""
        return await self._launcher.look_inside(order)

    async def stop(self, migration: str) -> None:
        """Stop the environment; absent is success."""
        await self._launcher.stop(migration)

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment again."""
        return await self._launcher.start(migration)

    # ------------------------------------------------------------------ housekeeping

    async def end_jobs(self, migration: str) -> None:
        """End and remove the migration's Jobs."""
        await self._connection.call(
            "end the Jobs", lambda api: housekeeping.end_jobs(api, migration), long=True
        )

    async def delete(self, migration: str) -> None:
        """Remove environment, Jobs and volumes."""
        await self._connection.call(
            "remove the environment", lambda api: housekeeping.delete(api, migration), long=True
        )

    async def remove_image(
        self, reference: str, *, pushed: bool = True, layers: bool = True
    ) -> None:
        """Take the name off an image, which goes with its last name if nothing uses it."""
        await self._connection.call(
            "remove the image", lambda api: remove_unused(api, reference, layers), long=True
        )

    async def clear_build(self, trace: BuildTrace, spare: Collection[str] = ()) -> None:
        """Remove the layers and the container that a build of the classic builder left."""
        await self._images.clear_build(trace, spare)

    async def identity(self) -> str:
        """Nothing but the record tells one notebook on a host from another."""
        return ""

    async def launched(self, owner: str) -> Sequence[Launched]:
        """List this owner's environments whose shares the launcher itself can tell of."""
        return await self._launcher.launched(owner)

    async def owned(self, owner: str) -> list[Orphan]:
        """List all objects of this owner that carry our labels."""
        return await self._connection.call(
            "list what is yours", lambda api: housekeeping.owned(api, owner), long=True
        )

    async def remove(self, objects: Sequence[Orphan]) -> None:
        """Remove listed objects; absent is success."""
        await self._connection.call(
            "remove what is left over",
            lambda api: housekeeping.remove_listed(api, objects),
            long=True,
        )
