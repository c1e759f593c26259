"""Images: built and pushed by the builder of a node, looked into by a pod, kept by node or registry.

Plays the roles `Images` and `Pushes`.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...placement.strategies import full_name
from ...registries import Registry
from ...registries.errors import RegistryFailed
from ...registries.oci import split
from ..names import Names, labels
from ..orders import (
    ALWAYS_BUILDKIT,
    NESTED,
    BuildOrder,
    BuildResult,
    BuildTrace,
    ImageInfo,
    ImageProbe,
    Progress,
    PushOrder,
    PushResult,
)
from ..probing import probe_words
from ..report import JobResult
from . import objects
from .build import CACHE, NO_REGISTRY, build_job, push_job, read_build, read_push
from .errors import BuilderMissing, ClusterForbidden
from .launcher import by_digest
from .ours import is_same
from .place import SourcePod
from .pods import insist_on_node, wait_for_pod
from .probe import Looks
from .recent import STEP_SECONDS
from .shared import Shared
from .source import Source

log = logging.getLogger(__name__)


class Images:
    """Images of one source's project, on its node and in the registry."""

    def __init__(self, shared: Shared, source: Source) -> None:
        self._shared = shared
        self._source = source

    async def features(self) -> frozenset[str]:
        """Say what the builder and the nodes can do."""
        found = frozenset({"buildkit", ALWAYS_BUILDKIT, "syntax-1.4", NESTED})
        return found | {"push"} if self._shared.settings.pushes_to.place else found

    def arguments(self) -> Mapping[str, str]:
        """Return the build arguments of every build."""
        return self._shared.settings.arguments()

    async def registry(self) -> Registry:
        """Return the registry that images are pushed to, signed in to as the builds are.

        Raises
        ------
        RegistryFailed
            None is set, or its secret or configmap is not there or unusable.
        """
        return await self._shared.registries.get()

    async def image(self, reference: str) -> ImageInfo | None:
        """Say whether the source's node has an image; more than that a node does not tell."""
        source = await self._source.pod()
        try:
            node = await self._shared.nodes.get(source.node)
        except ClusterForbidden:
            return None  # it will be pulled if need be
        there = node is not None and not node.images.isdisjoint({reference, full_name(reference)})
        return ImageInfo("", 0) if there else None

    async def _builder(self, source: SourcePod, node: str) -> str:
        """Return where a node's builder listens."""
        try:
            return await self._shared.builders.wait(node)
        except BuilderMissing:
            # Where the node itself is away, it is not the builder that is missing.
            await insist_on_node(self._shared.api, source.pod)
            raise

    async def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        """Build on the source's node, from a Job beside the project.

        The image goes into that node's own store where its builder can do that and the image may stay
        there, else to the registry.
        """
        source = await self._source.pinned(STEP_SECONDS)
        registry = None
        repository = f"{NO_REGISTRY}/{order.repository}"
        if order.push or self._shared.settings.pushes_to.place:
            registry = await self.registry()
            repository = registry.reference(order.repository)
            await registry.prepare(repository)
        address = await self._builder(source, source.node)
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            (work / "Dockerfile").write_bytes(order.text)
            job = build_job(order, self._shared.settings, source, address, repository, work)
            if await self._shared.sight.everywhere(order.place.source if order.place else ""):
                job = replace(job, place="near")
            jobs = await self._shared.jobs()
            async for item in read_build(
                order, jobs.run(job), self._shared.settings.pushes_to.place
            ):
                if not isinstance(item, JobResult):
                    yield item
                    continue
                sent = json.loads((work / "context.json").read_text())
                if item.fields["pushed"] and registry is not None:
                    info = await self._pushed(registry, f"{repository}@{item.fields['digest']}")
                else:
                    told = ("digest", "size", "user", "workdir", "layers")
                    info = ImageInfo(
                        **{key: item.fields[key] for key in told},
                        # A tools image of an earlier version has no word of them.
                        volumes=tuple(item.fields.get("volumes") or ()),
                        entrypoint=_words(item.fields.get("entrypoint")),
                        command=_words(item.fields.get("command")),
                    )
                yield BuildResult(item.fields["image"], info, item.fields["pushed"], sent)

    async def push(self, order: PushOrder) -> AsyncIterator[Progress | PushResult]:
        """Push from the store of the node that has the image, by the builder there."""
        registry = await self.registry()
        repository = order.reference.rpartition(":")[0]
        await registry.prepare(repository)
        source = await self._source.pod(STEP_SECONDS)
        address = await self._builder(source, order.node)
        job = push_job(order, self._shared.settings, source, address)
        jobs = await self._shared.jobs()
        async for item in read_push(jobs.run(job), self._shared.settings.pushes_to.place):
            if not isinstance(item, JobResult):
                yield item
                continue
            info = await self._pushed(registry, f"{repository}@{order.digest}")
            yield PushResult(info.digest)

    async def _pushed(self, registry: Registry, reference: str) -> ImageInfo:
        """Read an image back from the registry, once that lets it run.

        Raises
        ------
        RegistryFailed
            It is not there, or may not run.
        """
        found = await registry.find(reference)
        if found is None:
            raise RegistryFailed(
                registry=self._shared.settings.pushes_to.place,
                action="keep the image",
                reason=f"it has no {reference.rpartition('@')[2]} after the push",
            )
        await registry.admit(reference)
        config = found.config.get("config") or {}
        return ImageInfo(
            found.digest,
            found.size,
            user=config.get("User") or "",
            workdir=config.get("WorkingDir") or "",
            layers=found.layers,
            volumes=tuple(config.get("Volumes") or ()),
            entrypoint=_words(config.get("Entrypoint")),
            command=_words(config.get("Cmd")),
        )

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
        """Run the image once, without rights, to learn its user and its JupyterLab.

        One digest always answers the same, so it is not asked again.
        """
        source = await self._source.pod(STEP_SECONDS)
        known = self._shared.probed.get((image.digest, source.user))
        if known is not None:
            return known
        name = Names(migration).job("probe")
        path = await self._shared.space.path("pod")
        looks = Looks(image)
        body = objects.probe(
            name,
            labels(owner, "job", migration),
            by_digest(reference, image.digest),
            probe_words(looks.named),
            self._shared.settings,
            pushed=pushed,
            terms=terms,
            source=source,
            through=looks.through,
        )
        make = partial(self._shared.api.make, path, body, "run the image once")
        made = await self._shared.room.within_quota(make)
        if made is None:
            await self._shared.space.remove_pod(name)  # what a killed service left
            made = await self._shared.room.within_quota(
                partial(self._shared.api.create, *make.args)
            )
        try:
            async for pod in wait_for_pod(self._shared.space, partial(is_same, made), name):
                if pod["status"].get("phase") in ("Succeeded", "Failed"):
                    break
            found = await looks.read(self._shared.api, await self._shared.space.name(), path, name)
            self._shared.probed[image.digest, source.user] = found
            return found
        finally:
            await self._shared.api.delete(f"{path}/{name}", grace=0)

    async def remove_image(
        self, reference: str, *, pushed: bool = True, layers: bool = True
    ) -> None:
        """Remove an image from the registry.

        What only a node has, its kubelet removes when it needs the room: nobody else can.
        """
        if pushed and self._shared.settings.pushes_to.place:
            await self._forget(reference)

    async def clear_build(self, trace: BuildTrace, spare: Collection[str] = ()) -> None:
        """Nothing: BuildKit makes no images on the way, and takes its Job's end for the build's."""

    async def _forget(self, image: str) -> None:
        """Remove an image from the registry, and the layer cache with its repository's last image.

        BuildKit pushes both side by side: the cache may be there where the image never arrived. A build
        that is just reading it only loses its head start: BuildKit warns, and builds without.
        """
        if split(image)[0] != split(self._shared.settings.pushes_to.place)[0]:
            # A share must end all the same, and that other host is not to be told our password.
            log.warning(
                "%s is not in %s and is left there", image, self._shared.settings.pushes_to.place
            )
            return
        registry = await self.registry()
        await registry.delete(image)
        host, repository, _ = split(image)
        repository = f"{host}/{repository}"
        if set(await registry.tags(repository)) == {CACHE}:
            await registry.delete(f"{repository}:{CACHE}")


def _words(told: object) -> list[str]:
    """Return a command of an image's configuration, whatever that has there."""
    return [str(word) for word in told] if isinstance(told, list) else []
