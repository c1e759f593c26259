"""What is known of the storage before a copy: the sources' claims, classes, quotas, and the API's word.

Nothing is made: new claims are only tried (``dryRun``), so that whatever an admin put before them —
quotas, limits, policies — says no in the plan and not in the middle of a share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ... import errors
from ...placement.storage import NewClaim, Quota, Storage, claim_size
from ..base import MANAGED_BY, MANAGER
from . import objects
from .connection import Connection, Json
from .namespace import Namespace
from .settings import KubernetesSettings

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
CLASSES_UNSEEN = "the storage classes"
QUOTAS_UNSEEN = "the namespace's quotas"


def class_of_copy(claim: Json, settings: KubernetesSettings) -> str | None:
    """Return the storage class that a claim's copy gets; None for none."""
    given = claim["spec"].get("storageClassName")
    return settings.storage_classes.get(given or "", given) or None


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

    def __init__(self, api: Connection, space: Namespace, settings: KubernetesSettings) -> None:
        self.api = api
        self.space = space
        self.settings = settings

    async def observe(self, names: Sequence[str]) -> Storage:
        """Observe what copies of these claims will need; a claim named twice is copied twice.

        Raises
        ------
        errors.ClusterForbidden
            The claims can't be read.
        """
        if not names:
            return Storage()
        unseen: set[str] = set()
        there = await asyncio.gather(*(self._claim(name) for name in dict.fromkeys(names)))
        claims = {claim["metadata"]["name"]: claim for claim in there if claim is not None}
        found = await asyncio.gather(*(self._judge(claim, unseen) for claim in claims.values()))
        # A policy says the same to all copies of one claim.
        wrong: dict[str, errors.SecxopsError] = {
            error.message: error for error in found if error is not None
        }
        new = [
            NewClaim(class_of_copy(claims[name], self.settings) or "", claim_size(claims[name]))
            for name in names
            if name in claims
        ]
        quotas = await self._quotas(unseen)
        return Storage(new, quotas, list(wrong.values()), sorted(unseen))

    async def storage_class(self, name: str) -> Json | None:
        """Return a storage class, None when it is not there.

        Raises
        ------
        errors.ClusterForbidden
            It can't be read.
        """
        return await self.api.get(f"{CLASSES}/{name}")

    async def _claim(self, name: str) -> Json | None:
        return await self.api.get(await self.space.path("claim", name))

    async def _judge(self, claim: Json, unseen: set[str]) -> errors.SecxopsError | None:
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
            except errors.ClusterForbidden:
                unseen.add(CLASSES_UNSEEN)
        if reason is not None:
            return errors.ClaimUnusable(claim=name, reason=reason)
        return await self._tried(claim, wanted)

    async def _tried(self, claim: Json, wanted: str | None) -> errors.SecxopsError | None:
        """Return what the API server says to a claim like the new one, without making it."""
        body = objects.claim("", {MANAGED_BY: MANAGER}, claim, wanted)
        body["metadata"] |= {"name": None, "generateName": "secxops-plan-"}
        path = await self.space.path("claim")
        try:
            await self.api.call("POST", path, body, action="make a claim", dryRun="All")
        except errors.ClusterRefused as error:
            # Some checks of admins can't be asked; then the claim itself will tell.
            return None if "dry run" in error.message.lower() else error
        except (errors.QuotaExceeded, errors.ClusterForbidden) as error:
            return error
        return None

    async def _quotas(self, unseen: set[str]) -> Sequence[Quota]:
        namespace = await self.space.name()
        try:
            items = await self.api.list(f"/api/v1/namespaces/{namespace}/resourcequotas")
        except errors.ClusterForbidden:
            unseen.add(QUOTAS_UNSEEN)
            return ()
        return [quota for item in items if (quota := Quota.from_json(item)) is not None]
