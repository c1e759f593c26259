"""What ``doctor`` says of a cluster: whether a share would find what it needs.

Asks and tries on trial (``dryRun``; an upload that is cancelled), and makes nothing. An admin reads its lines from the top: each
rests on those before it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from ... import errors
from ...model import Check
from ...registries import Registry
from ...registries.oci import split
from ..names import labels
from .build import Builders
from .connection import Connection
from .errors import BuilderMissing
from .job import COPY_RIGHTS, Job, manifest
from .namespace import Namespace
from .place import SourcePod
from .pods import try_pod
from .settings import KubernetesSettings
from .trial import missing, needed_secrets

Rights = Mapping[tuple[str, str], Sequence[str]]
"""Verbs by API group and resource, subresources after a slash."""

IN_NAMESPACE: Rights = {
    ("", "pods"): ("get", "list", "watch", "create", "delete"),
    ("", "pods/log"): ("get",),
    ("", "pods/exec"): ("get", "create"),
    ("", "pods/portforward"): ("get", "create"),
    ("", "persistentvolumeclaims"): ("get", "list", "create", "patch", "delete"),
    ("", "secrets"): ("create",),
    ("", "services"): ("get", "list", "watch", "create", "patch", "delete"),
    ("", "resourcequotas"): ("list",),
    ("batch", "jobs"): ("get", "list", "create", "delete", "deletecollection"),
    ("networking.k8s.io", "networkpolicies"): ("create",),
}
"""What a share uses in its own namespace, besides reading the secrets and the configmap of the settings."""

FOR_LINKS: Rights = {("networking.k8s.io", "ingresses"): ("create",)}
"""Besides, where environments are reached through an Ingress."""

OF_CLUSTER: Rights = {
    ("", "nodes"): ("list", "watch"),
    ("", "pods"): ("list", "watch"),
    ("", "persistentvolumes"): ("get",),
    ("storage.k8s.io", "storageclasses"): ("get",),
}
"""What a plan sees of the cluster; without these it leaves the place to the scheduler."""

_GUIDE = "the operators' guide (Kubernetes)"


async def examine(
    api: Connection,
    space: Namespace,
    settings: KubernetesSettings,
    source: Callable[[], Awaitable[SourcePod]] | None,
    registry: Callable[[], Awaitable[Registry]],
) -> list[Check]:
    """Check that the cluster answers and has what a share needs; never raises.

    ``source`` finds the pod that is shared, None where each share names its own; ``registry`` returns one
    with the account that its secret has now, as the next build will have it.
    """
    doctor = _Doctor(api, space, settings, source, registry)
    try:
        first = await doctor.engine()
    except errors.SecxopsError as error:
        return [_failed("engine", error)]
    found = [first]
    for name, part in doctor.parts().items():
        try:
            found += [check async for check in part()]
        except errors.SecxopsError as error:
            found.append(_failed(name, error))
    return found


class _Doctor:
    def __init__(
        self,
        api: Connection,
        space: Namespace,
        settings: KubernetesSettings,
        source: Callable[[], Awaitable[SourcePod]] | None,
        registry: Callable[[], Awaitable[Registry]],
    ) -> None:
        self.api = api
        self.space = space
        self.settings = settings
        self.source = source
        self.registry = registry

    def parts(self) -> Mapping[str, Callable[[], AsyncIterator[Check]]]:
        return {
            "rights": self.rights,
            "sight": self.sight,
            "source": self.notebook,
            "secrets": self.secrets,
            "tools image": self.tools_image,
            "jobs": self.jobs,
            "builder": self.builder,
            "registry": self.answers,
        }

    async def engine(self) -> Check:
        version = (await self.api.get("/version") or {}).get("gitVersion", "")
        namespace = await self.space.name()
        return _ok("engine", f"Kubernetes {version} answers, namespace {namespace}.")

    async def rights(self) -> AsyncIterator[Check]:
        namespace = await self.space.name()
        settings = self.settings
        wanted = {**IN_NAMESPACE, **(FOR_LINKS if settings.link else {})}
        lacking = await self._lacking(wanted, namespace)
        read = {"secrets": needed_secrets(settings)}
        if settings.pushes_to.ca:
            read["configmaps"] = {settings.pushes_to.ca: ()}
        for resource, names in read.items():
            for name in names:
                lacking += await self._lacking({("", resource): ("get",)}, namespace, name)
        if lacking:
            yield Check(
                name="rights",
                state="failed",
                message=f"This account may not: {', '.join(lacking)}.",
                hint=f"Ask your admin for the Role of {_GUIDE}.",
            )
        else:
            yield _ok("rights", f"This account may do in {namespace} what a share does.")

    async def sight(self) -> AsyncIterator[Check]:
        if lacking := await self._lacking(OF_CLUSTER, ""):
            yield Check(
                name="sight",
                state="warning",
                message=f"A plan can't see everything: this account may not {', '.join(lacking)}.",
                hint=f"The scheduler decides. An admin may grant the ClusterRole of {_GUIDE}.",
            )
        else:
            yield _ok("sight", "A plan sees all nodes, pods and volumes of the cluster.")

    async def notebook(self) -> AsyncIterator[Check]:
        if self.source is None:
            yield _ok("source", "This service runs in no pod: each share names one (--pod).")
            return
        source = await self.source()
        yield _ok("source", f"The notebook is {source.name} on {source.node}.")

    async def secrets(self) -> AsyncIterator[Check]:
        for error in await missing(self.api, self.space, self.settings):
            yield Check(name="secrets", state="failed", message=error.message, hint=error.hint)
            return
        yield _ok("secrets", f"{', '.join(needed_secrets(self.settings))} are there.")

    async def tools_image(self) -> AsyncIterator[Check]:
        image, name = self.settings.tools_image, "tools image"
        hint = "Push one as the operators' guide says and set KubernetesEngine.tools_image."
        if not image:
            yield Check(name=name, state="failed", message="No tools image is set.", hint=hint)
            return
        address = self.settings.pushes_to.place
        if address and split(address)[0] == split(image)[0]:
            async with _closing(await self.registry()) as registry:
                there = await registry.find(image)
            if there is None:
                message = f"The registry has no {image}."
                yield Check(name=name, state="failed", message=message, hint=hint)
                return
        if "@sha256:" not in image:
            yield Check(
                name=name,
                state="warning",
                message=f"Jobs run {image}, a tag that may mean another image next time.",
                hint="Name it by digest (NAME@sha256:…), so that nobody can put another one there.",
            )
            return
        yield _ok(name, f"Jobs run {image}.")

    async def jobs(self) -> AsyncIterator[Check]:
        """Try the pod of a copy, which needs more than any other of ours."""
        job = Job(
            name="secxops-doctor",
            labels=labels("doctor", "job"),
            module="copying.__main__",
            arguments=(),
            rights=COPY_RIGHTS,
        )
        pods = await self.space.path("pod")
        await try_pod(self.api, pods, manifest(job, self.settings))
        yield _ok("jobs", "The namespace allows the Jobs that copy.")

    async def builder(self) -> AsyncIterator[Check]:
        builders = Builders(self.api, self.settings)
        if self.source is None:
            nodes = await builders.nodes()
            if not nodes:
                space = self.settings.builder_namespace
                raise BuilderMissing(node="any node", namespace=space)
        else:
            nodes = [(await self.source()).node]
            await builders.address(nodes[0])
        yield _ok("builder", f"A builder is ready on {', '.join(nodes)}.")

    async def answers(self) -> AsyncIterator[Check]:
        if not self.settings.pushes_to.place:
            yield Check(
                name="registry",
                state="warning",
                message="No registry is set: environments can only stay on their node, and only where "
                "its builder fills that node's own store.",
                hint="Describe one in Registries.named.",
            )
            return
        async with _closing(await self.registry()) as registry:
            # Many let anybody read: only a push shows whether the password is good.
            await registry.try_push(registry.reference("secxops/doctor"))
        yield _ok("registry", f"{self.settings.pushes_to.place} answers and lets us push.")

    async def _lacking(self, wanted: Rights, namespace: str, object_name: str = "") -> list[str]:
        """Return what this account may not do, as ``verb resource``; empty ``namespace``: in all."""

        async def may(group: str, resource: str, verb: str) -> bool:
            name, _, part = resource.partition("/")
            asked = {
                "namespace": namespace,
                "name": object_name,
                "group": group,
                "resource": name,
                "subresource": part,
                "verb": verb,
            }
            said = await self.api.call(
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                {
                    "apiVersion": "authorization.k8s.io/v1",
                    "kind": "SelfSubjectAccessReview",
                    "spec": {"resourceAttributes": asked},
                },
                action="ask for this account's rights",
            )
            return bool(((said or {}).get("status") or {}).get("allowed"))

        rows = [(*key, verb) for key, verbs in wanted.items() for verb in verbs]
        allowed = await asyncio.gather(*(may(*row) for row in rows))
        lacking: dict[str, list[str]] = {}
        for (_, resource, verb), granted in zip(rows, allowed, strict=True):
            if not granted:
                lacking.setdefault(resource, []).append(verb)
        return [
            f"{'/'.join(verbs)} {resource} {object_name}".rstrip()
            for resource, verbs in lacking.items()
        ]


@contextlib.asynccontextmanager
async def _closing(registry: Registry) -> AsyncIterator[Registry]:
    try:
        yield registry
    finally:
        await registry.close()


def _ok(name: str, message: str) -> Check:
    return Check(name=name, state="ok", message=message)


def _failed(name: str, error: errors.SecxopsError) -> Check:
    return Check(name=name, state="failed", message=error.message, hint=error.hint)
