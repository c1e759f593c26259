"""Launching environments: what starts one, looks at it, stops it and starts it again.

`Launcher` is the seam; `PodLauncher` makes a pod with its Secret, Service and NetworkPolicy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from ... import errors
from ...model import EnvironmentStatus
from ...registries.oci import split
from ..errors import EngineTooSlow, LaunchFailed
from ..health import (
    LINES_LOOKED_AT,
    PORT,
    STATUS,
    TOKEN_FOLDER,
    Answer,
    admits,
    elsewhere,
    launch_failed,
    refuses,
)
from ..names import MANAGED_BY, MANAGER, OWNER, ROLE, Names, images_of, owner_hash
from ..orders import InsideOrder, Launched, LaunchOrder, Observation, VolumeSeen
from . import objects
from .adopt import launched_of, token_of
from .connection import Connection, Json
from .errors import NodeUnreachable
from .inside import look_inside
from .namespace import ANSWER_SECONDS, Namespace
from .ours import is_same
from .place import SourcePod
from .pods import has_ended, own_container, own_status, taken, wait_for_pod
from .settings import KubernetesSettings
from .watched import Watched


class Launcher(Protocol):
    """What starts environments in a namespace; made with the namespace and the settings.

    The role `Environments`, but that `launch` is told the pod whose environment is shared. All that it makes
    has a name of `Names` and the labels of `names.labels`, so that deleting a migration finds it.
    """

    async def launch(self, order: LaunchOrder, source: SourcePod) -> Observation:
        """Start the environment, or adopt what an interrupted call left; wait until it answers.

        Raises
        ------
        Unschedulable, ImageUnpullable, LaunchFailed, errors.EngineFailed
            It does not come to that.
        """
        ...

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at an environment; without ``fresh`` as the last change told."""
        ...

    async def look_inside(self, order: InsideOrder) -> Sequence[VolumeSeen]:
        """Look from inside an environment, as its own user, at what was copied."""
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

    async def launched(self, owner: str) -> Sequence[Launched]:
        """List this owner's environments whose shares it can tell of without a record."""
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
        self._services: Watched[Json] | None = None

    async def close(self) -> None:
        """Let go of what is watched."""
        if self._services is not None:
            await self._services.close()

    async def launch(self, order: LaunchOrder, source: SourcePod) -> Observation:
        """Create the pod, behind its Service, and wait until JupyterLab answers."""
        name = Names(order.migration).environment
        image = by_digest(order.reference, order.image)
        body = objects.pod(order, self._settings, image, source)
        service = await self._serve(body)
        made = {
            "secret": objects.secret(order, body, service),
            "policy": objects.policy(body, service),
        }
        if self._settings.link:
            host = self._link(name).partition("://")[2].partition("/")[0]
            made["ingress"] = objects.ingress(body, host, self._settings.ingress_class, service)
        paths = {kind: await self._space.path(kind) for kind in made}
        await asyncio.gather(
            *(
                self._api.create(paths[kind], thing, f"make the environment's {kind}", read=False)
                for kind, thing in made.items()
            )
        )
        made = await self._release(body)
        return await self._wait_until_answers(order, made)

    async def _serve(self, body: Json) -> Json:
        """Create the Service, or have the one of an interrupted launch keep this pod."""
        wanted = objects.service(body)
        path = await self._space.path("service")
        found = await self._api.create(path, wanted, "make the environment's service")
        annotations = wanted["metadata"]["annotations"]
        if (found["metadata"].get("annotations") or {}).get(objects.POD) != annotations[
            objects.POD
        ]:
            await self._api.call(
                "PATCH",
                f"{path}/{wanted['metadata']['name']}",
                {"metadata": {"annotations": annotations}},
                action="keep the environment's pod",
            )
        return found

    async def _release(self, body: Json) -> Json:
        """Create the pod and return it, or the one that is there and can still become the environment."""
        name = body["metadata"]["name"]
        pods = await self._space.path("pod")

        async def make() -> Json:
            return await self._api.create(pods, body, "start the environment")

        room = self._space.room
        made = await (make() if room is None else room.within_quota(make))
        if has_ended(made):
            await self._space.remove_pod(name)
            made = await make()
        return made

    async def _wait_until_answers(self, order: LaunchOrder, made: Json) -> Observation:
        try:
            return await self._wait(order, made)
        except EngineTooSlow:
            # It was waited for as long as that is done: its log may tell why in vain.
            name, namespace = Names(order.migration).environment, await self._space.name()
            log = await self._api.tail(namespace, name, "notebook", lines=LINES_LOOKED_AT)
            if reason := elsewhere(log):
                raise launch_failed(order, log, reason) from None
            raise

    async def _wait(self, order: LaunchOrder, made: Json) -> Observation:
        name, namespace = Names(order.migration).environment, await self._space.name()
        async for pod in wait_for_pod(self._space, partial(is_same, made), name):
            if reason := taken(pod):
                # Not its own end: starting it again is worth a try.
                raise errors.EngineFailed(action=f"start {name}", reason=reason)
            if _ended(pod):
                log = await self._api.tail(namespace, name, "notebook")
                last = log.replace(order.token, "…").strip().splitlines()[-5:]
                raise launch_failed(order, log, " / ".join(last) or "it ended at once")
            if _ready(pod):
                await self._insist_on_token(order, pod["spec"].get("nodeName") or "")
                return self._observation(pod)
        raise errors.EngineFailed(action=f"start {name}", reason="its pod was removed")

    async def _insist_on_token(self, order: LaunchOrder, node: str) -> None:
        """Fail unless JupyterLab lets in who has the token, and nobody else."""
        name, namespace = Names(order.migration).environment, await self._space.name()

        async def ask(token: str | None = None) -> Answer:
            found = await self._api.ask(namespace, name, PORT, STATUS, token)
            if found is None:
                # It is ready, so it is the way to it that is broken.
                raise NodeUnreachable(node=node, reason=f"{name} can't be connected to")
            return found

        if not (refuses(await ask()) and admits(await ask(order.token))):
            raise LaunchFailed(
                reason="its JupyterLab does not go by the environment's own token: remove token and "
                "password from the image's Jupyter configuration",
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
        container = _own(pod)
        said = own_status(pod)
        image = str(said.get("imageID") or "").rpartition("@")[2]
        url, connect = self._link(name), None
        if not self._settings.link:
            port = PORT
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
            restarts=int(said.get("restartCount") or 0),
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

    async def look_inside(self, order: InsideOrder) -> Sequence[VolumeSeen]:
        """Look from inside the environment's pod, as its own user, at what was copied."""
        return await look_inside(self._space, order)

    async def _get(self, kind: str, name: str) -> Json | None:
        return await self._api.get(await self._space.path(kind, name))

    async def _told(self, kind: str, name: str) -> Json | None:
        """Return what is kept of an object of an environment, as the last change told."""
        namespace = await self._space.name()
        if kind == "pod":
            return await self._space.ours.pod(namespace, name)
        if self._services is None:
            path, marks = await self._space.path(kind), f"{MANAGED_BY}={MANAGER},{ROLE}=environment"
            # Of Services, that they are there.
            self._services = Watched(self._api, path, lambda _: {}, labelSelector=marks)
        return await self._services.get(name, namespace)

    async def stop(self, migration: str) -> None:
        """Stop the environment; absent is success."""
        await self._space.remove_pod(Names(migration).environment)

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment again."""
        name = Names(migration).environment
        service = await self._get("service", name)
        kept = ((service or {}).get("metadata", {}).get("annotations") or {}).get(objects.POD)
        if kept is None:
            raise errors.EngineFailed(action="start the environment", reason="it is gone")
        body = json.loads(kept)
        body["spec"].pop("schedulingGates", None)  # an earlier version's, which opened it
        await self._release(body)
        return await self.inspect(migration)

    async def launched(self, owner: str) -> Sequence[Launched]:
        """List this owner's environments, by what their Services keep of them."""
        mine = f"{MANAGED_BY}={MANAGER},{OWNER}={owner_hash(owner)},{ROLE}=environment"
        found = []
        for service in await self._api.list(await self._space.path("service"), labelSelector=mine):
            pod = await self._get("pod", service["metadata"]["name"])
            one = launched_of(service, pod, images_of(owner))
            if one is not None:
                found.append(replace(one, token=await self._token(pod)))
        return found

    async def _token(self, pod: Json | None) -> str:
        """Ask an environment for its token: nobody else may read its Secret. Empty if it does not tell."""
        if pod is None:
            return ""
        command = ["cat", f"{TOKEN_FOLDER}/token"]
        name = pod["metadata"]["name"]
        with contextlib.suppress(errors.SecxopsError, asyncio.TimeoutError, TimeoutError):
            said = self._space.said(name, own_container(pod), command)
            return token_of(await asyncio.wait_for(said, ANSWER_SECONDS))
        return ""


def by_digest(reference: str, digest: str) -> str:
    """Return the full name of an image by its digest."""
    host, repository, _ = split(reference)
    return f"{host}/{repository}@{digest}"


def _own(pod: Json) -> Json:
    """Return the container of an environment, which may have others beside it."""
    name = own_container(pod)
    return next(row for row in pod["spec"]["containers"] if row["name"] == name)


def _ready(pod: Json) -> bool:
    """Whether JupyterLab answers: its startup probe said so, or the pod is ready."""
    return any(
        row["type"] == "Ready" and row["status"] == "True"
        for row in pod["status"].get("conditions") or ()
    ) or bool((row := own_status(pod)).get("started") and (row.get("state") or {}).get("running"))


def _ended(pod: Json) -> bool:
    """Whether the environment ended, or had to be started again: it does not run well."""
    row = own_status(pod)
    return (
        pod["status"].get("phase") in ("Succeeded", "Failed")
        or bool(row.get("restartCount"))
        or bool((row.get("lastState") or {}).get("terminated"))
    )
