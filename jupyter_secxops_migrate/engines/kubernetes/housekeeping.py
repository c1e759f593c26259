"""What the cluster has room for, what would refuse a share, what is there of ours, and how that goes.

Plays the role `Housekeeping`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

from ... import errors
from ...model import Check, Orphan
from ...placement.cluster import Cluster, source_selector
from ...placement.nodes import Node, Volume, needs_of_pod, with_pods
from ...placement.requests import resources
from ..names import MANAGED_BY, MANAGER, MIGRATION, OWNER, ROLE, owner_hash
from ..orders import TrialOrder
from . import confines
from .build import NODE_STORE
from .doctor import examine
from .errors import BuilderMissing, ClusterForbidden, NotOnClaim
from .namespace import KINDS
from .notebook import Notebook
from .place import SourcePod
from .shared import Shared
from .source import Source


class Housekeeping:
    """One namespace, and the cluster around it as far as this account may see that."""

    def __init__(self, shared: Shared, source: Source, notebook: Notebook) -> None:
        self._shared = shared
        self._source = source
        self._notebook = notebook

    async def doctor(self) -> list[Check]:
        """Check that the cluster answers and has what a share needs; never raises."""
        source = (
            self._source.pod
            if self._shared.settings.source_pod or self._source.here.hostname
            else None
        )
        return await examine(
            self._shared.api,
            self._shared.space,
            self._shared.settings,
            source,
            self._shared.registries.fresh,
        )

    async def capacity(self, volumes: Sequence[str], sizes: Sequence[int | None] = ()) -> Cluster:
        """Observe the cluster as far as this account may, as the scheduler counts it."""
        source, nodes, bound = await asyncio.gather(
            self._source.pod(), self._nodes(), self._bound(volumes)
        )
        # Copies that are there already need no new claims, and no Jobs.
        mounted = {claim for claim, _ in source.claims()}
        new = [
            (name, size) for name, size in itertools.zip_longest(volumes, sizes) if name in mounted
        ]
        storage = await self._shared.sight.observe(
            [name for name, _ in new], [size for _, size in new]
        )
        beside = resources({**self._shared.settings.job_requests, "pods": "1"}) if new else None
        keeps, missing = await self._builder_seen(source) if new else (False, None)
        spec = source.pod["spec"]
        return Cluster(
            source.node,
            nodes,
            bound,
            needs_of_pod({"spec": {"tolerations": confines.tolerations(source.pod)}}).tolerations,
            source_selector(spec),
            confines.required_affinity(source.pod),
            resources(spec.get("overhead") or {}),
            gpu_resource=self._shared.settings.gpu_resource,
            storage=storage,
            beside=beside,
            roams=bound is not None
            and len(bound) == len(set(volumes))
            and all(volume.shared for volume in bound),
            registry=self._shared.settings.pushes_to.place,
            keeps_images=keeps,
            builder_missing=missing,
        )

    async def _builder_seen(self, source: SourcePod) -> tuple[bool, BuilderMissing | None]:
        """Say whether the builder of the source's node leaves images there, and what is wrong without one."""
        try:
            marks = await self._shared.builders.labels(source.node)
        except ClusterForbidden:
            return False, None
        except BuilderMissing as error:
            return False, error
        return marks.get(NODE_STORE) == "true", None

    async def try_out(self, order: TrialOrder) -> Sequence[errors.SecxopsError]:
        """Have the API server and the registry judge what a share would make, of what a pod can mount."""
        pinned = await self._source.pinned()
        if order.place.kind != "volume":  # of a source in another place
            mounts = sorted(mount["mountPath"] for _, mount in pinned.claims())
            where = "a folder of another engine's host"
            return (NotOnClaim(path=order.place.source, kind=where, mounts=mounts or ["none"]),)
        return await self._shared.trial.refusals(order, pinned, await self._shared.jobs())

    async def _nodes(self) -> Sequence[Node] | None:
        """Return all nodes with the sums of their pods, None if they may not be listed."""
        try:
            nodes = await self._shared.nodes.items()
        except ClusterForbidden:
            return None
        try:
            return with_pods(nodes, await self._shared.pods.items())
        except ClusterForbidden:
            return with_pods(nodes, None)

    async def _bound(self, claims: Sequence[str]) -> Sequence[Volume] | None:
        """Return the volumes behind claims whose copies will be reached from the same nodes only."""
        found = []
        try:
            for name in dict.fromkeys(claims):
                claim = await self._shared.recent.get(await self._shared.space.path("claim", name))
                spec = (claim or {}).get("spec") or {}
                given = str(spec.get("storageClassName") or "")
                if (
                    not spec.get("volumeName")
                    or self._shared.settings.storage_classes.get(given, given) != given
                ):
                    continue
                volume = await self._shared.recent.get(
                    f"/api/v1/persistentvolumes/{spec['volumeName']}"
                )
                if volume is not None:
                    found.append(Volume.from_json(volume))
        except ClusterForbidden:
            return None
        return found

    async def identity(self) -> str:
        """Return what stands for this notebook on the cluster; empty outside of pods, unless it is set."""
        return await self._notebook.identity()

    async def end_jobs(self, migration: str) -> None:
        """End and remove the migration's Jobs."""
        await (await self._shared.jobs()).end(migration)

    async def delete(self, migration: str) -> None:
        """Remove environment, Jobs and claims."""
        self._shared.space.ours.forget(migration)
        await self._shared.space.remove_all(f"{MIGRATION}={migration}", KINDS)

    async def owned(self, owner: str) -> list[Orphan]:
        """List all objects of this owner that carry our labels."""
        await self._notebook.insist_on_no_twin()
        mine = f"{MANAGED_BY}={MANAGER},{OWNER}={owner_hash(owner)}"
        found = []
        for kind in KINDS:
            for row in await self._shared.api.list(
                await self._shared.space.path(kind), labelSelector=mine
            ):
                marks = row["metadata"]["labels"]
                found.append(
                    Orphan(
                        kind=kind,  # type: ignore[arg-type]
                        name=row["metadata"]["name"],
                        role=marks.get(ROLE, ""),
                        migration=marks.get(MIGRATION),
                        created=row["metadata"]["creationTimestamp"],
                    )
                )
        return found

    async def remove(self, objects: Sequence[Orphan]) -> None:
        """Remove listed objects; absent is success."""
        for found in sorted(objects, key=lambda o: KINDS.index(o.kind)):
            await self._shared.api.delete(await self._shared.space.path(found.kind, found.name))
