"""The pod whose environment is shared: which one it is, where it runs, who its user is, what is in it.

Plays the role `Source`. Whoever copies, builds or launches asks here on which node, and as whom.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from ... import errors
from ...copying.job import FOUND
from ...model import PodSource
from ..orders import LookOrder, SourceEnvironment, SourcePlace
from .connection import Json
from .errors import ClusterForbidden, SourceUnusable
from .look import WHO, look_job, read_user
from .namespace import ANSWER_SECONDS
from .own import Own, own
from .place import SourcePod, User, environment, locate, source_pod
from .shared import Shared


class Source:
    """One pod of the namespace.

    Parameters
    ----------
    asked
        The one that a request names; without, that of the settings, else the one in which this process runs.
    here
        What this process knows of its own pod.
    """

    def __init__(
        self, shared: Shared, asked: PodSource | None = None, here: Own | None = None
    ) -> None:
        self._shared = shared
        self._asked = asked
        self.here = here or own()

    @property
    def outside(self) -> bool:
        """Whether the source is another pod than the one in which the service runs."""
        if self._asked is not None or not self.here.hostname:
            return True
        return bool(self._shared.settings.source_pod) and not self.here.may_be(
            self._shared.settings.source_pod
        )

    async def pod(self, within: float | None = None) -> SourcePod:
        """Return the source, as it was ``within`` so many seconds where a share goes on with what it planned."""
        asked = self._asked
        container = (asked.container or "") if asked else self._shared.settings.source_container
        name = asked.pod if asked else self._shared.settings.source_pod
        if name:
            pod = await self._named(name, within)
            return source_pod(pod, container, None if self.outside else self.here)
        if not self.here.hostname:
            raise SourceUnusable(
                pod="?", reason="none is named, and this service runs in none itself"
            )
        return source_pod(await self.own_pod(within), container, self.here)

    async def _named(self, name: str, within: float | None = None) -> Json:
        path = await self._shared.space.path("pod", name)
        pod = await self._shared.recent.get(path, action=f"see the pod {name}", within=within)
        if pod is None:
            space = await self._shared.space.name()
            raise SourceUnusable(pod=name, reason=f"it is not there, in namespace {space}")
        return pod

    async def own_pod(self, within: float | None = None) -> Json:
        """Return the pod in which this process runs: by its host's name, else by what else is known."""
        name = self.here.hostname
        path = await self._shared.space.path("pod", name)
        there = await self._shared.recent.get(path, action=f"see the pod {name}", within=within)
        if there is not None and self.here.is_pod(there):
            return there
        pods = await self._shared.api.list(await self._shared.space.path("pod"))
        found = [pod for pod in pods if self.here.is_pod(pod)]
        if len(found) != 1:
            space = await self._shared.space.name()
            raise SourceUnusable(
                pod=name,
                reason=f"{len(found)} pods of namespace {space} may be the one with that host name",
            )
        return found[0]

    async def pinned(self, within: float | None = None) -> SourcePod:
        """Return the source as Jobs are pinned to its node, whose label on some clouds is not its name."""
        source = await self.pod(within)
        source = replace(source, found=await self._user(source))
        try:
            node = await self._shared.nodes.get(source.node)
        except ClusterForbidden:
            return source
        return source if node is None else replace(source, hostname=node.hostname)

    async def source(self) -> SourceEnvironment:
        """Find out where the source runs."""
        return environment(
            await self.pod(), self._shared.settings.gpu_resource, outside=self.outside
        )

    async def locate(self, path: Path) -> SourcePlace:
        """Say which claim, and which folder in it, the source has at ``path``."""
        return locate(await self.pod(), PurePosixPath(path))

    async def look(self, order: LookOrder) -> Mapping[str, Any]:
        """Survey a project from a Job on the source's node; nothing of it stays."""
        source = await self.pinned()
        for path in (order.project, *order.data):
            locate(source, PurePosixPath(path))
        jobs = await self._shared.jobs()
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / FOUND
            job = look_job(order, self._shared.settings, source, results)
            try:
                async for _ in jobs.run(job):
                    pass
            finally:
                self._shared.space.ours.jobs.pop(job.name, None)
                # Should it stay all the same, its time is short.
                with contextlib.suppress(errors.SecxopsError):
                    await self._shared.api.delete(f"{jobs.path}/{job.name}")
            found: Mapping[str, Any] = json.loads(results.read_bytes())
            return found

    async def _user(self, source: SourcePod) -> User | None:
        """Find out who runs the source's programs, None where nothing says it.

        Often only the image says it, which the pod's object does not show: a shell is asked then.
        """
        if source.user is not None and (source.home or not self.outside):
            return None  # the pod's object says all that is needed
        if not self.outside and self.here.container([source.container]) is not None:
            return User(os.getuid(), os.getgid(), os.getgroups())
        key = (source.pod["metadata"]["uid"], source.container["name"])
        if key not in self._shared.users:
            found = None
            with contextlib.suppress(errors.SecxopsError, asyncio.TimeoutError, TimeoutError):
                found = await asyncio.wait_for(self._told(source), ANSWER_SECONDS)
            self._shared.users[key] = found
        return self._shared.users[key]

    async def _told(self, source: SourcePod) -> User | None:
        command = ["/bin/sh", "-c", WHO]
        said = await self._shared.space.said(source.name, source.container["name"], command)
        return read_user(said.decode("utf-8", "replace"))
