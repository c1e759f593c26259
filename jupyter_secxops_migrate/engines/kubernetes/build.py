"""Builds: a Job beside the project streams its context to the builder on the same node."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from ... import errors
from ..base import BuildOrder, LogLine, Names, Progress, labels, without_passwords
from ..buildkit import BuildKitOutput, Vertex
from .connection import Connection
from .jobs import WORK, Job, JobResult
from .place import SourcePod
from .settings import KubernetesSettings

# How long one that was evicted or is being replaced takes.
BUILDER_SECONDS = 20
# What gRPC says of a builder that went away; its own errors have other codes.
_BUILDER_LOST = ("code = Unavailable", "code = Canceled", "connection error:")
_OUT_OF_REACH = re.compile(
    r"dial tcp|connection refused|connection reset|i/o timeout|no such host|TLS handshake timeout"
    r"|unexpected EOF|unexpected status.*: 5\d\d|unexpected status code.* 5\d\d",
)
_CERTIFICATES = "/run/secxops/builder"
_CREDENTIALS = "/run/secxops/registry"


class Builders:
    """The image builders, one on each node."""

    def __init__(self, api: Connection, settings: KubernetesSettings) -> None:
        self.api = api
        self.settings = settings

    async def wait(self, node: str) -> str:
        """Return where the builder of a node listens, once the one that is being started does.

        Raises
        ------
        errors.BuilderMissing
            None is ready there, nor becomes so.
        """
        clock = asyncio.get_running_loop().time
        ends = clock() + BUILDER_SECONDS
        while True:
            try:
                return await self.address(node)
            except errors.BuilderMissing:
                if clock() > ends:
                    raise
                await asyncio.sleep(0.5)

    async def address(self, node: str) -> str:
        """Return where the builder of a node listens.

        Raises
        ------
        errors.BuilderMissing
            None is ready there.
        """
        for address in (await self._ready(fieldSelector=f"spec.nodeName={node}")).values():
            return address
        raise errors.BuilderMissing(node=node, namespace=self.settings.builder_namespace)

    async def nodes(self) -> list[str]:
        """Return the names of the nodes on which a builder is ready."""
        return sorted(await self._ready())

    async def _ready(self, **query: str) -> Mapping[str, str]:
        """Return where the builders that are ready listen, by node."""
        found = {}
        for pod in await self.api.list(
            f"/api/v1/namespaces/{self.settings.builder_namespace}/pods",
            labelSelector=self.settings.builder_selector,
            **query,
        ):
            ready = any(
                row["type"] == "Ready" and row["status"] == "True"
                for row in pod["status"].get("conditions") or ()
            )
            if ready and pod["status"].get("podIP"):
                address = pod["status"]["podIP"]
                host = f"[{address}]" if ":" in address else address
                found[pod["spec"]["nodeName"]] = f"tcp://{host}:{self.settings.builder_port}"
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
    arguments = [
        *("/source", "--dockerfile", f"{WORK}/Dockerfile", "--work", WORK),
        *("--builder", builder, "--server-name", settings.builder_server_name),
        *("--certificates", _CERTIFICATES, "--image", f"{repository}:{order.tag}", "--push"),
    ]
    if order.commit:
        arguments += ["--commit", order.commit]
    if settings.build_cache:
        arguments += ["--cache", f"{repository}:cache"]
    for name, value in settings.arguments().items():
        arguments += ["--arg", f"{name}={value}"]
    for name, value in order.labels.items():
        arguments += ["--label", f"{name}={value}"]
    volumes = [
        {
            "name": "source",
            "persistentVolumeClaim": {"claimName": order.place.source, "readOnly": True},
        },
        {"name": "builder", "secret": {"secretName": settings.builder_secret, "defaultMode": 292}},
    ]
    mount: dict[str, Any] = {"name": "source", "mountPath": "/source", "readOnly": True}
    if order.place.subpath:
        mount["subPath"] = order.place.subpath
    mounts = [mount, {"name": "builder", "mountPath": _CERTIFICATES, "readOnly": True}]
    if secret := settings.registry_secret or settings.pull_secret:
        item = {"key": ".dockerconfigjson", "path": "config.json"}
        volumes.append(
            {
                "name": "registry",
                "secret": {"secretName": secret, "items": [item], "defaultMode": 292},
            }
        )
        mounts.append({"name": "registry", "mountPath": _CREDENTIALS, "readOnly": True})
    return Job(
        name=Names(order.migration).job("build"),
        labels=labels(order.owner, "job", order.migration),
        module="environment.send",
        arguments=arguments,
        volumes=volumes,
        mounts=mounts,
        node=source.node,
        tolerations=source.tolerations,
        # As the source itself, so that it reads what the source reads.
        user=source.user or 1000,
        group=source.group,
        groups=source.groups,
        files={"Dockerfile": work / "Dockerfile"},
        results={"context.json": work / "context.json"},
        environment={"DOCKER_CONFIG": _CREDENTIALS},
        seconds=settings.build_seconds,
    )


async def read_build(
    order: BuildOrder, items: AsyncIterator[Progress | JobResult]
) -> AsyncIterator[Progress | JobResult]:
    """Read what the Job passes on of BuildKit's words.

    Raises
    ------
    errors.BuildFailed, errors.BaseImageMissing, errors.DiskFull, errors.RegistryFailed
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
            if said.get("image"):
                order.named(str(said["image"]))
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
        raise _failure(output, failed) from None


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


def _failure(output: BuildKitOutput, reason: str) -> errors.SecxopsError:
    if any(words in reason for words in _BUILDER_LOST):
        return errors.EngineFailed(
            action="build the image",
            reason=f"the builder went away ({without_passwords(reason)[:300]})",
        )
    if "failed to push" in reason or "error writing manifest" in reason:
        registry = output.order.repository
        return errors.RegistryFailed(
            registry=registry, action="take the image", reason=without_passwords(reason)[:500]
        )
    found = output.failure(reason)
    if isinstance(found, errors.BaseImageMissing) and _OUT_OF_REACH.search(reason):
        image = str(found.params["image"])
        return errors.RegistryFailed(
            registry=image.partition("/")[0],
            action=f"give the image {image}",
            reason=without_passwords(reason)[:500],
        )
    return found
