"""Builds: a Job beside the project streams its context to the builder on the same node.

What kind of builder that is, the Job finds out: one that shares its node's image store leaves there
what is to stay on the node. If that has to move after all, another Job has it pushed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ... import errors
from ...building.errors import BaseImageMissing
from ...copying.identity import inode_only
from ...copying.job import WORK
from ...registries.errors import RegistryFailed
from ...threads import ended
from ..buildkit import BuildKitOutput, Vertex
from ..names import Names, labels
from ..orders import BuildOrder, LogLine, Progress, PushOrder
from ..output import without_passwords
from ..report import JobResult
from .confines import proxies
from .connection import Connection, Json
from .errors import BuilderMissing
from .job import Job, source_mount
from .place import SourcePod
from .settings import KubernetesSettings

# How long one that was evicted or is being replaced takes.
BUILDER_SECONDS = 20
# A build follows its plan at once.
LISTED_SECONDS = 3
# What gRPC says of a builder that went away; its own errors have other codes.
_BUILDER_LOST = ("code = Unavailable", "code = Canceled", "connection error:")
_OUT_OF_REACH = re.compile(
    r"dial tcp|connection refused|connection reset|i/o timeout|no such host|TLS handshake timeout"
    r"|unexpected EOF|unexpected status.*: 5\d\d|unexpected status code.* 5\d\d",
)
# How the builder asks a registry; what a RUN prints is not in the reason of a failure.
_ASKED = re.compile(r'failed to do request: \w+ "https?://([^/"\s]+)/v2/')
_CERTIFICATES = "/run/secxops/builder"
_CREDENTIALS = "/run/secxops/registry"
_PROXY = "SOURCE_"
"""How the source's proxies are called in a build's Job, which itself asks the builder through none."""
CACHE = "cache"
"""The tag of a repository's layer cache; those of images have a digest in them."""
NODE_STORE = "secxops.io/node-store"
"""Label of builders' pods, ``true`` on those that leave images in their node's own store."""
NO_REGISTRY = "localhost"
"""The host in the names of images that stay on their node where no registry is set."""


class Builders:
    """The image builders, one on each node."""

    def __init__(self, api: Connection, settings: KubernetesSettings) -> None:
        self.api = api
        self.settings = settings
        self._seen: tuple[float, Sequence[Json]] = (-LISTED_SECONDS, ())

    async def wait(self, node: str) -> str:
        """Return where the builder of a node listens, once the one that is being started does.

        Raises
        ------
        BuilderMissing
            None is ready there, nor becomes so.
        """
        clock = asyncio.get_running_loop().time
        ends = clock() + BUILDER_SECONDS
        while True:
            try:
                return await self.address(node)
            except BuilderMissing:
                if clock() > ends:
                    raise
                await asyncio.sleep(0.5)

    async def address(self, node: str) -> str:
        """Return where the builder of a node listens.

        Raises
        ------
        BuilderMissing
            None is ready there.
        """
        when, seen = self._seen
        found = _ready(seen) if self._now() - when < LISTED_SECONDS else {}
        if node not in found:
            found = _ready(await self._listed(fieldSelector=f"spec.nodeName={node}"))
        if node in found:
            return f"tcp://{found[node]}:{self.settings.builder_port}"
        raise BuilderMissing(node=node, namespace=self.settings.builder_namespace)

    async def labels(self, node: str) -> Mapping[str, str]:
        """Return the labels of a node's builder, ready or about to be.

        Raises
        ------
        BuilderMissing
            None is there, nor on its way.
        """
        listed = await self._listed()
        self._seen = self._now(), listed
        for pod in listed:
            spec = pod["spec"]
            # A DaemonSet's pod names its node by affinity until the scheduler has had it.
            if spec.get("nodeName") == node or (
                not spec.get("nodeName") and node in json.dumps(spec.get("affinity") or {})
            ):
                return pod["metadata"].get("labels") or {}
        raise BuilderMissing(node=node, namespace=self.settings.builder_namespace)

    async def nodes(self) -> list[str]:
        """Return the names of the nodes on which a builder is ready."""
        return sorted(_ready(await self._listed()))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _listed(self, **query: str) -> Sequence[Json]:
        return await self.api.list(
            f"/api/v1/namespaces/{self.settings.builder_namespace}/pods",
            labelSelector=self.settings.builder_selector,
            **query,
        )


def _ready(pods: Sequence[Json]) -> Mapping[str, str]:
    """Return the hosts of the builders that are ready, by node."""
    found = {}
    for pod in pods:
        ready = any(
            row["type"] == "Ready" and row["status"] == "True"
            for row in pod["status"].get("conditions") or ()
        )
        if ready and (address := pod["status"].get("podIP")):
            found[pod["spec"]["nodeName"]] = f"[{address}]" if ":" in address else address
    return found


def build_job(
    order: BuildOrder,
    settings: KubernetesSettings,
    source: SourcePod,
    builder: str,
    repository: str,
    work: Path,
) -> Job:
    """Return the Job that sends a project's context: *restricted*, the project read-only."""
    assert order.place is not None
    names = Names(order.migration)
    arguments = [
        *("/source", "--dockerfile", f"{WORK}/Dockerfile", "--work", WORK),
        *_to_builder(settings, builder),
        *("--image", f"{repository}:{order.tag}"),
    ]
    if not order.push:
        arguments.append("--here")
    if settings.pushes_to.place:
        arguments.append("--push")
    arguments += [f"--keep={path}" for path in order.keep]
    if order.path != order.dockerfile:
        arguments.append(f"--path={order.path}")
    if order.commit:
        arguments += ["--commit", order.commit]
    if order.identity:
        arguments += ["--identity", inode_only(order.identity)]
    if settings.build_cache and settings.pushes_to.place:
        arguments += ["--cache", f"{repository}:{CACHE}"]
    for name, value in settings.arguments().items():
        arguments += ["--arg", f"{name}={value}"]
    for name, value in order.labels.items():
        arguments += ["--label", f"{name}={value}"]
    given = [row for row in proxies(source.container) if row["name"] not in settings.arguments()]
    for row in given:
        arguments += ["--arg-from", f"{row['name']}={_PROXY}{row['name']}"]
    project = {"claimName": order.place.source, "readOnly": True}
    volumes, mounts = _secrets(settings)
    return Job(
        name=names.job("rebuild" if order.place.source == names.volume("code") else "build"),
        labels=labels(order.owner, "job", order.migration),
        module="building.send",
        arguments=arguments,
        volumes=[{"name": "source", "persistentVolumeClaim": project}, *volumes],
        mounts=[source_mount(order.place), *mounts],
        source=source,
        place="here",
        files={"Dockerfile": work / "Dockerfile"},
        results={"context.json": work / "context.json"},
        environment={"DOCKER_CONFIG": _CREDENTIALS},
        variables=[{**row, "name": _PROXY + row["name"]} for row in given],
        seconds=settings.build_seconds,
    )


def push_job(
    order: PushOrder, settings: KubernetesSettings, source: SourcePod, builder: str
) -> Job:
    """Return the Job that has an image pushed by the builder of the node that has it."""
    volumes, mounts = _secrets(settings)
    return Job(
        name=Names(order.migration).job("push"),
        labels=labels(order.owner, "job", order.migration),
        module="building.push",
        arguments=[
            *("--work", WORK, "--image", order.reference, "--digest", order.digest),
            *_to_builder(settings, builder),
        ],
        volumes=volumes,
        mounts=mounts,
        source=source,
        environment={"DOCKER_CONFIG": _CREDENTIALS},
        seconds=settings.build_seconds,
    )


def _to_builder(settings: KubernetesSettings, builder: str) -> list[str]:
    return [
        *("--builder", builder, "--server-name", settings.builder_server_name),
        *("--certificates", _CERTIFICATES),
    ]


def _secrets(settings: KubernetesSettings) -> tuple[list[Json], list[Json]]:
    """Return the volumes and mounts of what a build's client needs: certificates, a password."""
    volumes: list[Json] = [
        {"name": "builder", "secret": {"secretName": settings.builder_secret, "defaultMode": 292}}
    ]
    mounts: list[Json] = [{"name": "builder", "mountPath": _CERTIFICATES, "readOnly": True}]
    if secret := settings.push_secret:
        item = {"key": ".dockerconfigjson", "path": "config.json"}
        volumes.append(
            {
                "name": "registry",
                "secret": {"secretName": secret, "items": [item], "defaultMode": 292},
            }
        )
        mounts.append({"name": "registry", "mountPath": _CREDENTIALS, "readOnly": True})
    return volumes, mounts


async def read_push(
    items: AsyncIterator[Progress | JobResult], registry: str
) -> AsyncIterator[Progress | JobResult]:
    """Read what the Job passes on while an image is pushed.

    Raises
    ------
    RegistryFailed
        The registry did not take it.
    errors.EngineFailed
        It does not come to that.
    """
    failed = ""
    told: set[str] = set()
    try:
        async for item in items:
            said = item.fields if isinstance(item, JobResult) else None
            if said is None or said.get("type") != "build":
                yield item
                continue
            failed = str(said.get("error") or failed)
            if said.get("again"):
                yield _again(said)
            for row in (said.get("status") or {}).get("vertexes") or ():
                if row.get("started") and row.get("name") not in told:
                    told.add(row["name"])
                    yield LogLine(without_passwords(str(row["name"])))
    except errors.EngineFailed:
        if not failed:
            raise
        if _lost(failed):
            raise _builder_lost("push the image", failed) from None
        if _at_registry(failed):
            raise _registry_failed(registry, "take the image", failed) from None
        reason = without_passwords(failed)
        raise errors.EngineFailed(action="push the image", reason=reason) from None


async def read_build(
    order: BuildOrder, items: AsyncIterator[Progress | JobResult], registry: str
) -> AsyncIterator[Progress | JobResult]:
    """Read what the Job passes on of BuildKit's words.

    Raises
    ------
    BuildFailed, BaseImageMissing, DiskFull, RegistryFailed
        The build failed.
    errors.EngineFailed
        The builder went away.
    """
    output = BuildKitOutput(order)
    failed = ""
    try:
        async for item in items:
            said = item.fields if isinstance(item, JobResult) else None
            if said is None or said.get("type") != "build":
                yield item
                continue
            failed = str(said.get("error") or failed)
            if said.get("again"):
                output = BuildKitOutput(order)  # what failed before is not what fails now
                yield _again(said)
            if said.get("image"):
                await ended(asyncio.to_thread(order.named, str(said["image"]), True))
            for found in _status(output, said.get("status") or {}):
                if isinstance(found, LogLine):
                    yield LogLine(without_passwords(found.text))
                else:
                    yield found
    except errors.EngineFailed:
        if not failed:
            raise
        for found in output.rest():
            yield found
        yield LogLine(without_passwords(failed))
        raise _failure(output, failed, registry) from None


def _again(said: Mapping[str, Any]) -> LogLine:
    return LogLine(f"{without_passwords(str(said['again']))[:500]} Trying again.")


def _status(output: BuildKitOutput, status: Mapping[str, Any]) -> list[Progress]:
    found: list[Progress] = []
    for row in status.get("vertexes") or ():
        vertex = Vertex(
            name=str(row.get("name") or ""),
            started=bool(row.get("started")),
            completed=bool(row.get("completed")),
            cached=bool(row.get("cached")),
            error=str(row.get("error") or ""),
        )
        found += output.vertex(str(row.get("digest")).encode(), vertex)
    for row in status.get("logs") or ():
        text = base64.b64decode(row.get("data") or "")
        found += output.output(str(row.get("vertex")).encode(), text)
    return found


def _failure(output: BuildKitOutput, reason: str, registry: str) -> errors.SecxopsError:
    if _lost(reason):
        return _builder_lost("build the image", reason)
    if _at_registry(reason):
        return _registry_failed(registry, "take the image", reason)
    found = output.failure(reason)
    unanswered = _OUT_OF_REACH.search(reason)
    if unanswered and (asked := _ASKED.search(reason)):
        return _registry_failed(asked[1], "give what the image starts from", reason)
    if isinstance(found, BaseImageMissing) and unanswered:
        image = str(found.params["image"])
        return _registry_failed(image.partition("/")[0], f"give the image {image}", reason)
    return found


def _lost(reason: str) -> bool:
    return any(words in reason for words in _BUILDER_LOST)


def _builder_lost(action: str, reason: str) -> errors.EngineFailed:
    return errors.EngineFailed(
        action=action, reason=f"the builder went away ({without_passwords(reason)[:300]})"
    )


def _at_registry(reason: str) -> bool:
    return "failed to push" in reason or "error writing manifest" in reason


def _registry_failed(registry: str, action: str, reason: str) -> RegistryFailed:
    return RegistryFailed(registry=registry, action=action, reason=without_passwords(reason)[:500])
