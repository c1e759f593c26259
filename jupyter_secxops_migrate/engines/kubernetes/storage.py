"""What is known of the storage before a copy: the sources' claims, classes, quotas, and the API's word.

Nothing is made: new claims are only tried (``dryRun``), so that whatever an admin put before them —
quotas, limits, policies — says no in the plan and not in the middle of a share.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import Sequence

from ... import errors
from ...placement.nodes import Volume
from ...placement.storage import NewClaim, Quota, Storage, claim_size
from ..names import MANAGED_BY, MANAGER
from . import objects
from .connection import Connection, Json
from .errors import ClaimUnusable, ClusterForbidden, ClusterRefused, QuotaExceeded
from .namespace import Namespace
from .recent import Recent
from .settings import KubernetesSettings

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
CLASSES_UNSEEN = "the storage classes"
QUOTAS_UNSEEN = "the namespace's quotas"


def class_of_copy(claim: Json, settings: KubernetesSettings) -> str | None:
    """Return the storage class that a claim's copy gets; None for none."""
    given = claim["spec"].get("storageClassName")
    return settings.storage_classes.get(given or "", given) or None


def size_of_copy(claim: Json, content: int | None, settings: KubernetesSettings) -> int | None:
    """Return the bytes that the claim of a copy asks for; None for as many as its source's.

    ``content`` is what the files take on disk, None where that is not known.
    """
    if content is None or settings.claim_size == "source":
        return None
    least = min(settings.claim_floor, claim_size(claim))
    return max(least, math.ceil(content * settings.claim_factor))


def unusable(claim: Json) -> str | None:
    """Say why no Job can mount a claim beside the pod that uses it, None if one can."""
    spec = claim["spec"]
    if spec.get("volumeMode") == "Block":
        return "it is a block device without files (volumeMode Block)"
    if "ReadWriteOncePod" in spec["accessModes"]:
        return "only one pod at a time may mount it (access mode ReadWriteOncePod)"
    return None


class Sight:
    """Looks at the storage of one namespace."""

    def __init__(
        self, api: Connection, recent: Recent, space: Namespace, settings: KubernetesSettings
    ) -> None:
        self.api = api
        self.recent = recent
        self.space = space
        self.settings = settings

    async def observe(self, names: Sequence[str], contents: Sequence[int | None] = ()) -> Storage:
        """Observe what copies of these claims will need; a claim named twice is copied twice.

        ``contents`` are the bytes on disk of what each copy will hold.

        Raises
        ------
        ClusterForbidden
            The claims can't be read.
        """
        if not names:
            return Storage()
        unseen: set[str] = set()
        tried: dict[str, asyncio.Future[errors.SecxopsError | None]] = {}
        there = await asyncio.gather(*(self._claim(name) for name in dict.fromkeys(names)))
        claims = {claim["metadata"]["name"]: claim for claim in there if claim is not None}
        held = dict.fromkeys(names)
        sizes = []
        for name, content in itertools.zip_longest(names, contents):
            size = size_of_copy(claims[name], content, self.settings) if name in claims else None
            sizes.append(size)
            # A claim of which two folders are copied is tried with the larger.
            held[name] = max(size or 0, held[name] or 0) or None
        found = await asyncio.gather(
            *(self._judge(claim, held[name], unseen, tried) for name, claim in claims.items())
        )
        # A policy says the same to all copies of one claim.
        wrong: dict[str, errors.SecxopsError] = {
            error.message: error for error in found if error is not None
        }
        new = [
            NewClaim(
                class_of_copy(claims[name], self.settings) or "", size or claim_size(claims[name])
            )
            for name, size in zip(names, sizes, strict=True)
            if name in claims
        ]
        quotas = await self._quotas(unseen)
        return Storage(new, quotas, list(wrong.values()), sorted(unseen))

    async def everywhere(self, name: str) -> bool:
        """Whether all nodes may mount a claim and its copy, beside the pod that uses it."""
        claim = await self._claim(name) if name else None
        spec = (claim or {}).get("spec") or {}
        if claim is None or "ReadWriteMany" not in spec["accessModes"]:
            return False
        if not spec.get("volumeName"):
            return False
        if class_of_copy(claim, self.settings) != spec.get("storageClassName"):
            return False  # whose volumes may be reached from one node only
        try:
            found = await self.recent.get(f"/api/v1/persistentvolumes/{spec['volumeName']}")
        except ClusterForbidden:
            return False
        return found is not None and Volume.from_json(found).shared

    async def storage_class(self, name: str) -> Json | None:
        """Return a storage class, None when it is not there.

        Raises
        ------
        ClusterForbidden
            It can't be read.
        """
        return await self.recent.get(f"{CLASSES}/{name}")

    async def _claim(self, name: str) -> Json | None:
        return await self.recent.get(await self.space.path("claim", name))

    async def _judge(
        self,
        claim: Json,
        size: int | None,
        unseen: set[str],
        tried: dict[str, asyncio.Future[errors.SecxopsError | None]],
    ) -> errors.SecxopsError | None:
        """Return what stands against a copy of a claim."""
        name = claim["metadata"]["name"]
        wanted = class_of_copy(claim, self.settings)
        reason = unusable(claim)
        if reason is None and wanted is None:
            reason = "it has no storage class, so no volume can be made for its copy"
        elif reason is None and wanted is not None:
            try:
                if await self.storage_class(wanted) is None:
                    reason = f"there is no storage class {wanted}, which its copy would get"
            except ClusterForbidden:
                unseen.add(CLASSES_UNSEEN)
        if reason is not None:
            return ClaimUnusable(claim=name, reason=reason)
        body = objects.claim("", {MANAGED_BY: MANAGER}, claim, wanted, size)
        body["metadata"] |= {"name": None, "generateName": "secxops-plan-"}
        # Claims that will be alike are one question.
        key = json.dumps(body, sort_keys=True)
        if key not in tried:
            tried[key] = asyncio.ensure_future(self._tried(body))
        return await tried[key]

    async def _tried(self, body: Json) -> errors.SecxopsError | None:
        """Return what the API server says to a claim like the new one, without making it."""
        path = await self.space.path("claim")
        try:
            await self.api.call("POST", path, body, action="make a claim", dryRun="All")
        except ClusterRefused as error:
            # Some checks of admins can't be asked; then the claim itself will tell.
            return None if "dry run" in error.message.lower() else error
        except (QuotaExceeded, ClusterForbidden) as error:
            return error
        return None

    async def _quotas(self, unseen: set[str]) -> Sequence[Quota]:
        namespace = await self.space.name()
        try:
            items = await self.api.list(f"/api/v1/namespaces/{namespace}/resourcequotas")
        except ClusterForbidden:
            unseen.add(QUOTAS_UNSEEN)
            return ()
        return [quota for item in items if (quota := Quota.from_json(item)) is not None]
