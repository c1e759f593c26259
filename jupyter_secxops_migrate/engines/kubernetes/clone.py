"""The clone route: the storage copies the volume, and a Job proves it as it does a copy.

A clone is only a head start. The Job on it leaves nothing there that the copy would have left out,
reads both ends of every file, and writes the same manifest (`copying.clone`). A clone that is not
made, or comes back empty or short, is thrown away: its name goes to a fresh claim and a copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import replace
from datetime import datetime

from ... import errors
from ...copying.errors import CopyFailed, DiskFull, VerifyFailed
from ..orders import CopyOrder, Progress
from ..report import JobResult
from .connection import Connection, Json
from .errors import ClusterForbidden, ClusterRefused, Unschedulable
from .job import Job
from .jobs import Jobs
from .namespace import Namespace
from .settings import KubernetesSettings
from .storage import Sight, class_of_copy

WHY = "secxops.io/not-cloned"
"""Annotation of a claim that is filled by a copy: why."""

UNWRITTEN_SECONDS = 35
"""What a node wrote last is not yet on a block device: Linux writes after 30 seconds, journals every 5.
The Job copies what a clone lacks of that; what is older and missing makes it a bad clone."""

_OTHERWISE = (
    ClusterRefused,
    CopyFailed,
    DiskFull,
    errors.EngineFailed,
    Unschedulable,
    VerifyFailed,
)
"""What a copy into a fresh claim may not meet."""


_TRIES = 3


class NotCloned(Exception):
    """Nothing of the clone is left; the argument says why, for a person."""


def why_not(
    order: CopyOrder,
    claim: Json,
    volume: Json | None,
    storage_class: str | None,
    drivers: Collection[str],
) -> str | None:
    """Say why a folder's claim is not to be cloned, None if it is.

    Parameters
    ----------
    claim, volume
        The source's, the volume None where there is none yet.
    storage_class
        Of the new claim.
    drivers
        Those that clone.
    """
    given = claim["spec"].get("storageClassName")
    driver = ((volume or {}).get("spec") or {}).get("csi", {}).get("driver") or ""
    for wrong, reason in (
        (order.commit is not None, "the files of a version are asked for, not those there"),
        (order.place.subpath, "the folder is not the whole claim"),
        (order.exclude or order.mount_points, "parts of it are left out"),
        (not given or storage_class != given, "the copy gets another storage class"),
        (not driver, "its volume is not made by a CSI driver"),
        (driver not in drivers, f"the driver {driver} is not known to clone"),
    ):
        if wrong:
            return reason
    return None


def clone_of(body: Json, source: str) -> Json:
    """Return a claim's object with the content of another claim."""
    origin = {"apiGroup": "", "kind": "PersistentVolumeClaim", "name": source}
    return {**body, "spec": {**body["spec"], "dataSourceRef": origin}}


def is_clone(claim: Json) -> bool:
    """Whether a claim was made with the content of another one."""
    return bool(claim["spec"].get("dataSourceRef"))


class Clones:
    """Makes clones in one namespace."""

    def __init__(
        self, api: Connection, space: Namespace, sight: Sight, settings: KubernetesSettings
    ) -> None:
        self.api = api
        self.space = space
        self.sight = sight
        self.settings = settings

    async def claim(
        self, order: CopyOrder, source: Json, clone: Json, plain: Callable[[str], Json]
    ) -> tuple[Json, str | None]:
        """Make the claim of a copy and return it, with the reason where a copy is to fill it and no clone.

        What an interrupted call began is gone on with.

        Parameters
        ----------
        source
            The claim that is copied.
        clone, plain
            The new claim as a clone; without content, by the reason for that.
        """
        why = await self._why_not(order, source)
        path = await self.space.path("claim")
        for _ in range(_TRIES):
            body = clone_of(clone, order.place.source) if why is None else plain(why)
            try:
                made = await self.api.create(path, body, f"make a claim for {order.key}")
            except _OTHERWISE as error:
                if why is not None:
                    raise
                why = f"no clone was made ({_reason(error)})"
                continue
            if not made["metadata"].get("deletionTimestamp"):
                marks = made["metadata"].get("annotations") or {}
                told = str(marks.get(WHY) or "a copy was begun before")
                return made, None if is_clone(made) else told
            await self._gone(f"{path}/{body['metadata']['name']}")
            why = "a clone was given up before"
        raise errors.EngineFailed(action="make a claim", reason="the one before does not go")

    async def _why_not(self, order: CopyOrder, claim: Json) -> str | None:
        """Say why a claim is to be filled by a copy, None if by a clone."""
        volume = None
        try:
            if bound := claim["spec"].get("volumeName"):
                volume = await self.sight.recent.get(f"/api/v1/persistentvolumes/{bound}")
        except ClusterForbidden:
            return "this account may not see which driver made its volume"
        wanted = class_of_copy(claim, self.settings)
        return why_not(order, claim, volume, wanted, self.settings.cloning_drivers)

    async def fill(
        self, made: Json, job: Job, checking: Job, jobs: Jobs
    ) -> AsyncIterator[Progress | JobResult]:
        """Run the copying Job on a claim that is a clone.

        Raises
        ------
        NotCloned
            Claim and Job are gone again.
        """
        path = await self.space.path("claim", made["metadata"]["name"])
        try:
            if await self._binds_by_itself(made):
                await self._bound(path)
            since = datetime.fromisoformat(
                made["metadata"]["creationTimestamp"].replace("Z", "+00:00")
            )
            told = f"--cloned={since.timestamp() - UNWRITTEN_SECONDS:.0f}"
            async for item in jobs.run(replace(job, arguments=[told, *job.arguments])):
                yield item
        except _OTHERWISE as error:
            now = await self.api.get(path)
            bound = ((now or {}).get("status") or {}).get("phase") == "Bound"
            reason = _reason(error)
            for using in (job, checking):
                await jobs.remove(using.name)
            await self.api.delete(path)
            await self._gone(path)
            raise NotCloned(reason if bound else f"no clone was made ({reason})") from error

    async def _binds_by_itself(self, claim: Json) -> bool:
        try:
            found = await self.sight.storage_class(claim["spec"].get("storageClassName") or "")
        except ClusterForbidden:
            return False
        return (found or {}).get("volumeBindingMode") == "Immediate"

    async def _bound(self, path: str) -> None:
        """Wait for a claim that needs no pod to be bound: a pod would soon count as unschedulable."""
        for _ in range(round(self.settings.start_seconds * 2)):
            now = await self.api.get(path)
            if now is None or (now.get("status") or {}).get("phase") in ("Bound", "Lost"):
                return
            await asyncio.sleep(0.5)

    async def _gone(self, path: str) -> None:
        """Wait until a claim is gone, so that its name is free.

        Raises
        ------
        errors.EngineFailed
            Something holds it.
        """
        for _ in range(240):
            if await self.api.get(path) is None:
                return
            await asyncio.sleep(0.25)
        raise errors.EngineFailed(action="remove a clone", reason="something still uses it")


def _reason(error: errors.SecxopsError) -> str:
    return str(error.params.get("reason") or error.message).rstrip(".")
