"""A share on trial: what would refuse it in the middle, asked before anything is made.

The API server judges the pods and Jobs as if they were made (``dryRun``): Pod Security, quotas, limit ranges,
an admin's own policies, rights. What it does not judge is looked at: secrets that pods would wait for without
an end, and whether the registry lets this account push.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from ... import errors
from ...registries.errors import RegistryFailed
from ...registries.oci import split
from ..errors import ToolsImageMissing
from ..names import labels
from ..orders import BuildOrder, ImageProbe, LaunchOrder, TrialOrder
from . import objects
from .build import NO_REGISTRY, build_job
from .connection import Connection, Json
from .errors import (
    ClusterForbidden,
    ClusterRefused,
    NamespaceGone,
    PodSecurityForbids,
    QuotaExceeded,
    RegistryDenied,
    SecretMissing,
)
from .job import COPY_RIGHTS, Job, manifest, source_mount
from .jobs import Jobs
from .namespace import Namespace
from .place import SourcePod
from .pods import try_pod
from .recent import Recent
from .registry import PushRegistry
from .settings import KubernetesSettings

KEPT_SECONDS = 300
"""For so long a registry that let this account push is not asked again."""
REGISTRY_SECONDS = 5
"""One that does not answer by then is not waited for: a build tries more than once."""
TOOLS_SECONDS = 2
_TLS = ("ca.crt", "tls.crt", "tls.key")
_DIGEST = f"sha256:{64 * '0'}"


class Trial:
    """Tries shares in one namespace."""

    def __init__(
        self,
        api: Connection,
        space: Namespace,
        registries: PushRegistry,
        settings: KubernetesSettings,
    ) -> None:
        self._api = api
        self._space = space
        self._registries = registries
        self._settings = settings
        self._pushed: dict[str, float] = {}
        self._found: dict[str, float] = {}

    async def refusals(
        self, order: TrialOrder, source: SourcePod, jobs: Jobs
    ) -> Sequence[errors.SecxopsError]:
        """Return what stands against a share; each kind of trouble once."""
        recent = Recent(self._api)
        said = await asyncio.gather(
            self._missing(recent),
            self._against_pods(order, source, jobs),
            self._against_push(order, recent),
            self._against_tools(recent),
        )
        found: dict[str, errors.SecxopsError] = {}
        for error in (error for part in said for error in part):
            found.setdefault(f"{error.code} {error.params.get('name', '')}", error)
        return list(found.values())

    async def _missing(self, recent: Recent) -> Sequence[errors.SecxopsError]:
        try:
            return await missing(recent, self._space, self._settings)
        except ClusterForbidden:
            return ()  # doctor tells of that

    async def _against_pods(
        self, order: TrialOrder, source: SourcePod, jobs: Jobs
    ) -> Sequence[errors.SecxopsError]:
        name = f"plan{secrets.token_hex(4)}"
        copying = Job(
            name=f"secxops-{name}-job-copy",
            labels=labels(order.owner, "job", name),
            module="copying.__main__",
            arguments=(),
            volumes=[
                {"name": "source", "persistentVolumeClaim": {"claimName": order.place.source}},
            ],
            mounts=[source_mount(order.place)],
            source=source,
            place="here",
            rights=COPY_RIGHTS,
        )
        building = build_job(
            BuildOrder(
                name,
                lambda: iter(()),
                "Dockerfile",
                order.repository,
                "plan",
                lambda: "",
                {},
                owner=order.owner,
                place=order.place,
            ),
            self._settings,
            source,
            "",
            order.repository,
            Path(),
        )
        judged = await asyncio.gather(
            self._judged(self._try_job(jobs, manifest(copying, self._settings))),
            self._judged(try_pod(self._api, jobs.pods, manifest(copying, self._settings))),
            self._judged(try_pod(self._api, jobs.pods, manifest(building, self._settings))),
            self._judged(self._try_environment(order, source, name, jobs.pods)),
        )
        return [error for error in judged if error is not None]

    async def _judged(self, trial: Awaitable[None]) -> errors.SecxopsError | None:
        try:
            await trial
        except ClusterRefused as error:
            # Some checks of admins can't be asked; then the object itself will tell.
            return None if "dry run" in error.message.lower() else error
        except (
            ClusterForbidden,
            NamespaceGone,
            PodSecurityForbids,
            QuotaExceeded,
        ) as error:
            return error
        return None

    async def _try_job(self, jobs: Jobs, body: Json) -> None:
        action = f"start {body['metadata']['name']}"
        await self._api.call("POST", jobs.path, body, action=action, dryRun="All")

    async def _try_environment(
        self, order: TrialOrder, source: SourcePod, name: str, pods: str
    ) -> None:
        host = self._settings.pushes_to.place or NO_REGISTRY
        # Of the image nobody knows more yet, nor does it matter here.
        nobody = ImageProbe(1000, 1000, PurePosixPath("/"), PurePosixPath("/"), ["jupyter-lab"])
        reference = f"{host}/{order.repository}"
        launch = LaunchOrder(
            migration=name,
            owner=order.owner,
            name=order.name,
            image=_DIGEST,
            reference=reference,
            probe=nobody,
            mounts=(),
            root="/",
            token="",
            cpu=order.cpu,
            memory=order.memory,
            gpu=order.gpu,
            terms=order.terms,
        )
        body = objects.pod(launch, self._settings, f"{reference}@{_DIGEST}", source)
        await self._api.call("POST", pods, body, action="start the environment", dryRun="All")

    async def _against_push(
        self, order: TrialOrder, recent: Recent
    ) -> Sequence[errors.SecxopsError]:
        """Return whether the registry refuses the account that builds push with, as it is now."""
        settings = self._settings
        if not settings.pushes_to.place or not order.pushes:
            return ()
        try:
            account = "\n".join(await self._registries.credentials(recent))
            key = hashlib.sha256(f"{settings.pushes_to.place}\n{account}".encode()).hexdigest()
            now = asyncio.get_running_loop().time()
            if now - self._pushed.get(key, -KEPT_SECONDS) < KEPT_SECONDS:
                return ()
            registry = await self._registries.fresh(recent)
            try:
                wanted = registry.reference(order.repository)
                await asyncio.wait_for(registry.try_push(wanted), REGISTRY_SECONDS)
            finally:
                await registry.close()
            self._pushed = {key: now}
        except RegistryFailed as error:
            if error.denied:
                reason = str(error.params.get("reason") or error.message)
                denied = RegistryDenied(
                    registry=settings.pushes_to.place,
                    secret=self._registries.secret or "?",
                    reason=reason,
                )
                return [denied]
        except (ClusterForbidden, asyncio.TimeoutError, TimeoutError):
            pass
        return ()

    async def _against_tools(self, recent: Recent) -> Sequence[errors.SecxopsError]:
        """Return whether nodes will not find the image of our Jobs, as far as that can be asked."""
        image, address = self._settings.tools_image, self._settings.pushes_to.place
        if not image:
            return [ToolsImageMissing(reason="none is set (KubernetesEngine.tools_image)")]
        now = asyncio.get_running_loop().time()
        known = now - self._found.get(image, -KEPT_SECONDS) < KEPT_SECONDS
        if known or not address or split(address)[0] != split(image)[0]:
            return ()
        try:
            registry = await self._registries.fresh(recent)
            try:
                there = await asyncio.wait_for(registry.find(image), TOOLS_SECONDS)
            finally:
                await registry.close()
        except (errors.SecxopsError, asyncio.TimeoutError, TimeoutError):
            return ()  # nobody knows; what else hinders a push is told above
        if there is None:
            return [ToolsImageMissing(reason=f"the registry has no {image}")]
        self._found[image] = now
        return ()


def needed_secrets(settings: KubernetesSettings) -> Mapping[str, Sequence[str]]:
    """Return the keys that each secret of the settings has to have."""
    registry = filter(None, (settings.pull_secret, settings.push_secret))
    return {
        settings.builder_secret: _TLS,
        **dict.fromkeys(registry, (".dockerconfigjson",)),
    }


async def missing(
    api: Connection | Recent, space: Namespace, settings: KubernetesSettings
) -> Sequence[SecretMissing]:
    """Return which secrets and configmaps of the settings are not there, or lack a key.

    Raises
    ------
    ClusterForbidden
        One of them can't be read.
    """
    namespace = await space.name()
    wanted = [("secret", name, keys) for name, keys in needed_secrets(settings).items()]
    if settings.pushes_to.ca:
        wanted.append(("configmap", settings.pushes_to.ca, ("ca.crt",)))

    async def look(kind: str, name: str, keys: Sequence[str]) -> SecretMissing | None:
        found = await api.get(f"/api/v1/namespaces/{namespace}/{kind}s/{name}")
        lacking = [key for key in keys if key not in ((found or {}).get("data") or {})]
        if found is not None and not lacking:
            return None
        problem = "is not there" if found is None else f"has no {', '.join(lacking)}"
        return SecretMissing(kind=kind, name=name, problem=problem)

    said = await asyncio.gather(*(look(*row) for row in wanted))
    return [error for error in said if error is not None]
