"""Launching environments: what starts one, looks at it, stops it and starts it again.

`Launcher` is the seam; `PodLauncher` makes a pod with its Secret, Service and NetworkPolicy.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from typing import Protocol

from ... import errors
from ...model import EnvironmentStatus
from ...registries.oci import split
from ..base import MANAGED_BY, MANAGER, MIGRATION, ROLE, LaunchOrder, Names, Observation
from . import objects
from .connection import Connection, Json
from .jobs import taken, wait_for_pod
from .namespace import Namespace
from .place import SourcePod
from .settings import KubernetesSettings
from .watched import Watched


class Launcher(Protocol):
    """What starts environments in a namespace; made with the namespace and the settings.

    All that it makes has a name of `Names` and the labels of the base module, so that deleting a
    migration finds it.
    """

    async def launch(self, order: LaunchOrder, source: SourcePod) -> Observation:
        """Start the environment, or adopt what an interrupted call left; wait until it answers.

        Raises
        ------
        errors.Unschedulable, errors.ImageUnpullable, errors.LaunchFailed, errors.EngineFailed
            It does not come to that.
        """
        ...

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at an environment; without ``fresh`` as the last change told."""
        ...

    async def stop(self, migration: str) -> None:
        """Stop an environment; absent is success."""
        ...

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment again.

        Raises
        ------
        errors.EngineFailed
            It is gone.
        """
        ...

    async def close(self) -> None:
        """Let go of what is watched."""
        ...


class PodLauncher:
    """Environments as pods of their own, reached by an Ingress or a port-forward."""

    def __init__(self, space: Namespace, settings: KubernetesSettings) -> None:
        self._space = space
        self._settings = settings
        self._api: Connection = space.api
        self._watched: dict[str, Watched[Json]] = {}

    async def close(self) -> None:
        """Let go of what is watched."""
        for watched in self._watched.values():
            await watched.close()

    async def launch(self, order: LaunchOrder, source: SourcePod) -> Observation:
        """Create and release the pod, with its Service, and wait until JupyterLab answers."""
        name = Names(order.migration).environment
        body = objects.pod(
            order,
            self._settings,
            by_digest(order.reference, order.image),
            user=source.user,
            tolerations=source.tolerations,
        )
        made = {
            "service": objects.service(body),
            "policy": objects.policy(body),
        }
        if self._settings.link:
            host = self._link(name).partition("://")[2].partition("/")[0]
            made["ingress"] = objects.ingress(body, host, self._settings.ingress_class)
        # Of an earlier launch: the pod in it is another one.
        secret = objects.secret(order, body)
        await self._api.delete(await self._space.path("secret", name))
        await self._api.create(
            await self._space.path("secret"), secret, "make the environment's secret"
        )
        paths = {kind: await self._space.path(kind) for kind in made}
        await asyncio.gather(
            *(
                self._api.create(paths[kind], thing, f"make the environment's {kind}")
                for kind, thing in made.items()
            )
        )
        await self._release(body)
        return await self._wait_until_answers(order)

    async def _release(self, body: Json) -> None:
        """Create the pod, unless it is there, and let the scheduler have it."""
        name = body["metadata"]["name"]
        pods = await self._space.path("pod")
        there = await self._api.get(f"{pods}/{name}")
        if there is not None and (
            there["metadata"].get("deletionTimestamp")
            or there["status"].get("phase") in ("Failed", "Succeeded")
        ):
            await self._space.remove_pod(name)
        made = await self._api.create(pods, body, "start the environment")
        if made["spec"].get("schedulingGates"):
            await self._api.call(
                "PATCH",
                f"{pods}/{name}",
                {"spec": {"schedulingGates": None}},
                action="start the environment",
            )

    async def _wait_until_answers(self, order: LaunchOrder) -> Observation:
        name = Names(order.migration).environment
        pods, namespace = await self._space.path("pod"), await self._space.name()
        marks = f"{MIGRATION}={order.migration},{ROLE}=environment"
        async for pod in wait_for_pod(self._api, pods, marks, self._settings, name):
            if reason := taken(pod):
                # Not its own end: starting it again is worth a try.
                raise errors.EngineFailed(action=f"start {name}", reason=reason)
            if _ended(pod):
                log = await self._api.tail(namespace, name, "notebook")
                last = log.replace(order.token, "…").strip().splitlines()[-5:]
                raise errors.LaunchFailed(
                    reason=" / ".join(last) or "it ended at once", id=order.migration
                )
            if _ready(pod):
                await self._insist_on_token(order, pod["spec"].get("nodeName") or "")
                return self._observation(pod)
        raise errors.EngineFailed(action=f"start {name}", reason="its pod was removed")

    async def _insist_on_token(self, order: LaunchOrder, node: str) -> None:
        """Fail unless JupyterLab lets in who has the token, and nobody else."""
        name, namespace = Names(order.migration).environment, await self._space.name()

        async def status(headers: Mapping[str, str]) -> int:
            found = await self._api.ask(namespace, name, objects.PORT, "/api/status", headers)
            if not found:
                # It is ready, so it is the way to it that is broken.
                raise errors.NodeUnreachable(node=node, reason=f"{name} can't be connected to")
            return found

        with_token = {"Authorization": f"token {order.token}"}
        known, stranger = await asyncio.gather(status(with_token), status({}))
        if (known, stranger) != (200, 403):
            raise errors.LaunchFailed(
                reason="its JupyterLab does not go by the environment's own token: remove the token "
                "from the image's Jupyter configuration",
                id=order.migration,
            )

    def _link(self, name: str) -> str:
        return self._settings.link.replace("{name}", name)

    def _observation(self, pod: Json, log: str = "") -> Observation:
        name = pod["metadata"]["name"]
        status = EnvironmentStatus.STARTING
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            status = EnvironmentStatus.STOPPED
        elif _ready(pod):
            status = EnvironmentStatus.RUNNING
        claims = {
            v["name"]: v["persistentVolumeClaim"]["claimName"]
            for v in pod["spec"].get("volumes") or ()
            if "persistentVolumeClaim" in v
        }
        container = pod["spec"]["containers"][0]
        statuses = pod["status"].get("containerStatuses") or [{}]
        image = str(statuses[0].get("imageID") or "").rpartition("@")[2]
        url, connect = self._link(name), None
        if not self._settings.link:
            port = objects.PORT
            url = f"http://127.0.0.1:{port}"
            space = pod["metadata"]["namespace"]
            connect = f"kubectl port-forward --namespace={space} service/{name} {port}:{port}"
        return Observation(
            status,
            name,
            url=f"{url.rstrip('/')}/lab",
            connect=connect,
            node=pod["spec"].get("nodeName") or "",
            image=image or None,
            mounts={
                m["mountPath"]: claims[m["name"]]
                for m in container.get("volumeMounts") or ()
                if m["name"] in claims
            },
            log=log,
            restarts=int(statuses[0].get("restartCount") or 0),
        )

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at the launched environment; without ``fresh`` as the last change told."""
        name = Names(migration).environment
        look = self._get if fresh else self._told
        pod = await look("pod", name)
        if pod is None:
            # Without its pod, but with what leads to it: stopped.
            service = await look("service", name)
            status = EnvironmentStatus.GONE if service is None else EnvironmentStatus.STOPPED
            return Observation(status, name)
        log = ""
        if _ended(pod):
            log = await self._api.tail(await self._space.name(), name, "notebook")
        return self._observation(pod, log)

    async def _get(self, kind: str, name: str) -> Json | None:
        return await self._api.get(await self._space.path(kind, name))

    async def _told(self, kind: str, name: str) -> Json | None:
        """Return what is kept of an object of an environment, as the last change told."""
        path, namespace = await self._space.path(kind), await self._space.name()
        if kind not in self._watched:
            marks = f"{MANAGED_BY}={MANAGER},{ROLE}=environment"
            self._watched[kind] = Watched(self._api, path, _KEPT[kind], labelSelector=marks)
        return await self._watched[kind].get(name, namespace)

    async def stop(self, migration: str) -> None:
        """Stop the environment; absent is success."""
        await self._space.remove_pod(Names(migration).environment)

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment again."""
        name = Names(migration).environment
        secret = await self._get("secret", name)
        if secret is None:
            raise errors.EngineFailed(action="start the environment", reason="it is gone")
        await self._release(json.loads(base64.b64decode(secret["data"]["pod"])))
        return await self.inspect(migration)


def by_digest(reference: str, digest: str) -> str:
    """Return the full name of an image by its digest."""
    host, repository, _ = split(reference)
    return f"{host}/{repository}@{digest}"


def _seen_of(pod: Json) -> Json:
    """Keep of an environment's pod what `KubernetesEngine.inspect` tells of it."""
    metadata, spec = pod["metadata"], pod["spec"]
    keys = ("name", "namespace", "deletionTimestamp")
    container = spec["containers"][0]
    return {
        "metadata": {key: metadata[key] for key in keys if key in metadata},
        "spec": {
            "nodeName": spec.get("nodeName"),
            "volumes": spec.get("volumes"),
            "containers": [{"volumeMounts": container.get("volumeMounts")}],
        },
        "status": {
            key: (pod.get("status") or {}).get(key)
            for key in ("phase", "conditions", "containerStatuses")
        },
    }


_KEPT: Mapping[str, Callable[[Json], Json]] = {"pod": _seen_of, "service": lambda _: {}}
"""What is kept of the objects of environments; of Services, that they are there."""


def _ready(pod: Json) -> bool:
    """Whether JupyterLab answers: its startup probe said so, or the pod is ready."""
    return any(
        row["type"] == "Ready" and row["status"] == "True"
        for row in pod["status"].get("conditions") or ()
    ) or any(
        row.get("started") and (row.get("state") or {}).get("running")
        for row in pod["status"].get("containerStatuses") or ()
    )


def _ended(pod: Json) -> bool:
    """Whether the environment ended, or had to be started again: it does not run well."""
    rows = pod["status"].get("containerStatuses") or ()
    return pod["status"].get("phase") in ("Succeeded", "Failed") or any(
        row.get("restartCount") or (row.get("lastState") or {}).get("terminated") for row in rows
    )
