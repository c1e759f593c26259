"""The objects of ours in one namespace: where they are, and how they are removed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ... import errors
from .connection import Connection
from .errors import NodeUnreachable
from .ours import Ours
from .settings import KubernetesSettings

if TYPE_CHECKING:
    from .room import Room

PATHS: Mapping[str, str] = {
    "job": "/apis/batch/v1/namespaces/{}/jobs",
    "pod": "/api/v1/namespaces/{}/pods",
    "service": "/api/v1/namespaces/{}/services",
    "claim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "secret": "/api/v1/namespaces/{}/secrets",
    "policy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "ingress": "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
}
KINDS = ("job", "pod", "service", "claim")
"""What a migration makes, in the order of its removal: users before what they use. All else that it
makes is owned by a Service, and goes with it."""


# A kubelet that answers has ended a pod long before.
FORCE_SECONDS = 20.0
# What the garbage collector needs is a second at most, unless the controllers are away.
SERVICE_SECONDS = 30.0

ANSWER_SECONDS = 5
"""How long a command in a container of somebody's is waited for."""
_MOST_SAID = 8192


class Namespace:
    """The namespace of the settings, else the connection's own."""

    def __init__(self, api: Connection, settings: KubernetesSettings) -> None:
        self.api = api
        self.settings = settings
        self.room: Room | None = None
        """What a pod of it that finds no room may wait for."""
        self.ours = Ours(api, partial(self.path, "pod"))
        """Its pods of ours."""

    async def name(self) -> str:
        """Return its name."""
        await self.api.open()
        return self.settings.namespace or self.api.namespace

    async def path(self, kind: str, name: str = "") -> str:
        """Return the path of a kind's objects, or of one of them."""
        path = PATHS[kind].format(await self.name())
        return f"{path}/{name}" if name else path

    async def said(self, pod: str, container: str, command: Sequence[str]) -> bytes:
        """Return what a command in a container prints; nothing where that is far too much."""
        told = self.api.execute(await self.name(), pod, container, command)
        said = b""
        async with contextlib.aclosing(told):
            async for chunk in told:
                said += chunk
                if len(said) > _MOST_SAID:
                    return b""
        return said

    async def remove_pod(self, name: str, *, seconds: float = 60, force: bool = False) -> None:
        """Remove a pod and wait until it is gone; absent is success.

        With ``force``, one whose kubelet has not ended it after ``seconds`` is gone all the same: only
        where nothing will use its volumes any more, as it may go on until its node is back.

        Raises
        ------
        NodeUnreachable
            It does not end.
        """
        path = await self.path("pod")
        there = await self.api.get(f"{path}/{name}")
        if there is None:
            return
        for grace in (1, 0) if force else (1,):
            await self.api.delete(f"{path}/{name}", grace=grace)
            async for now in self.api.until(path, name, seconds):
                if now is None:
                    return
        raise NodeUnreachable(
            node=there["spec"].get("nodeName") or "", reason=f"{name} does not end"
        )

    async def remove_all(self, selector: str, kinds: Sequence[str]) -> None:
        """Remove what has these labels, kind after kind, whatever becomes of the others.

        Waits until its pods are gone.

        Raises
        ------
        errors.SecxopsError
            The first thing that went wrong, when all has been tried.
        """
        found: list[BaseException] = []
        for kind in kinds:
            path = await self.path(kind)
            try:
                rows = await self.api.list(path, labelSelector=selector)
            except errors.SecxopsError as error:
                found.append(error)
                continue
            names = [row["metadata"]["name"] for row in rows]
            ended = await asyncio.gather(
                *(self._remove(kind, name) for name in names), return_exceptions=True
            )
            found += [error for error in ended if isinstance(error, BaseException)]
        if found:
            raise found[0]

    async def _remove(self, kind: str, name: str) -> None:
        if kind == "pod":
            await self.remove_pod(name, seconds=FORCE_SECONDS, force=True)
        elif kind == "service":
            await self._remove_service(name)
        else:
            await self.api.delete(await self.path(kind, name))

    async def _remove_service(self, name: str) -> None:
        """Remove a Service, and wait until all that it owns is gone and then itself.

        Raises
        ------
        errors.EngineFailed
            The cluster does not come to that.
        """
        path = await self.path("service")
        await self.api.delete(f"{path}/{name}", owned_first=True)
        async for now in self.api.until(path, name, SERVICE_SECONDS):
            if now is None:
                return
        raise errors.EngineFailed(
            action=f"remove {name}", reason="the cluster's garbage collector has not ended it yet"
        )
