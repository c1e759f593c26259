"""The clone route: the storage copies the volume, and a Job proves it as it does a copy.

A clone is only a head start. The Job on it leaves nothing there that the copy would have left out,
reads both ends of every file, and writes the same manifest (`copying.clone`). A clone that is not
made, or comes back empty or short, is thrown away: its name goes to a fresh claim and a copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from datetime import datetime

from ... import errors
from ..base import CopyOrder, Progress
from .connection import Connection, Json
from .jobs import Job, JobResult, Jobs
from .namespace import Namespace
from .settings import KubernetesSettings
from .storage import Sight, class_of_copy

WHY = "secxops.io/not-cloned"
"""Annotation of a claim that is filled by a copy: why."""

UNWRITTEN_SECONDS = 35
"""What a node wrote last is not yet on a block device: Linux writes after 30 seconds, journals every 5.
The Job copies what a clone lacks of that; what is older and missing makes it a bad clone."""

_OTHERWISE = (
    errors.ClusterRefused,
    errors.CopyFailed,
    errors.DiskFull,
    errors.EngineFailed,
    errors.Unschedulable,
    errors.VerifyFailed,
)
"""What a copy into a fresh claim may not meet."""


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
        (order.exclude, "parts of it are left out"),
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

    async def why_not(self, order: CopyOrder, claim: Json, name: str) -> str | None:
        """Say why the claim ``name`` is to be filled by a copy, None if by a clone.

        What an interrupted call began is gone on with.
        """
        path = await self.space.path("claim", name)
        there = await self.api.get(path)
        if there is not None and there["metadata"].get("deletionTimestamp"):
            await self._gone(path)
            return "a clone was given up before"
        if there is not None:
            marks = there["metadata"].get("annotations") or {}
            return None if is_clone(there) else str(marks.get(WHY) or "a copy was begun before")
        volume = None
        try:
            if bound := claim["spec"].get("volumeName"):
                volume = await self.api.get(f"/api/v1/persistentvolumes/{bound}")
        except errors.ClusterForbidden:
            return "this account may not see which driver made its volume"
        wanted = class_of_copy(claim, self.settings)
        return why_not(order, claim, volume, wanted, self.settings.cloning_drivers)

    async def fill(
        self, body: Json, source: str, job: Job, checking: Job, jobs: Jobs
    ) -> AsyncIterator[Progress | JobResult]:
        """Make the claim ``body`` as a clone of ``source``, or adopt it, and run the copying Job on it.

        Raises
        ------
        NotCloned
            Claim and Job are gone again.
        """
        name = body["metadata"]["name"]
        claims = await self.space.path("claim")
        try:
            made = await self.api.create(claims, clone_of(body, source), f"clone {source}")
            if await self._binds_by_itself(made):
                await self._bound(f"{claims}/{name}")
            since = datetime.fromisoformat(
                made["metadata"]["creationTimestamp"].replace("Z", "+00:00")
            )
            told = f"--cloned={since.timestamp() - UNWRITTEN_SECONDS:.0f}"
            async for item in jobs.run(replace(job, arguments=[told, *job.arguments])):
                yield item
        except _OTHERWISE as error:
            now = await self.api.get(f"{claims}/{name}")
            bound = ((now or {}).get("status") or {}).get("phase") == "Bound"
            reason = str(error.params.get("reason") or error.message).rstrip(".")
            for using in (job, checking):
                await jobs.remove(using.name)
            await self.api.delete(f"{claims}/{name}")
            await self._gone(f"{claims}/{name}")
            raise NotCloned(reason if bound else f"no clone was made ({reason})") from error

    async def _binds_by_itself(self, claim: Json) -> bool:
        try:
            found = await self.sight.storage_class(claim["spec"].get("storageClassName") or "")
        except errors.ClusterForbidden:
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
