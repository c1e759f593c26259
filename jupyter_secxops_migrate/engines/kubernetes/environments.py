"""Environments: started by the launcher that is set, and found again by what the cluster keeps of them.

Plays the role `Environments`; how one is started is its launcher's business.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

from ... import errors
from ..health import TOKEN_FOLDER
from ..names import MANAGED_BY, MANAGER, OWNER, ROLE, images_of, owner_hash
from ..orders import InsideOrder, Launched, LaunchOrder, Observation, VolumeSeen
from .adopt import launched_of, token_of
from .connection import Json
from .inside import look_inside
from .notebook import Notebook
from .pods import own_container
from .recent import STEP_SECONDS
from .shared import ANSWER_SECONDS, Shared
from .source import Source


class Environments:
    """The environments of one namespace."""

    def __init__(self, shared: Shared, source: Source, notebook: Notebook) -> None:
        self._shared = shared
        self._source = source
        self._notebook = notebook

    async def launch(self, order: LaunchOrder) -> Observation:
        """Start the environment and wait until JupyterLab answers."""
        return await self._shared.launcher.launch(order, await self._source.pod(STEP_SECONDS))

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at the launched environment; without ``fresh`` as the last change told."""
        return await self._shared.launcher.inspect(migration, fresh=fresh)

    async def look_inside(self, order: InsideOrder) -> Sequence[VolumeSeen]:
        """Look from inside the environment, as its own user, at what was copied."""
        return await look_inside(self._shared.space, order)

    async def stop(self, migration: str) -> None:
        """Stop the environment; absent is success."""
        await self._shared.launcher.stop(migration)

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment again."""
        return await self._shared.launcher.start(migration)

    async def launched(self, owner: str) -> Sequence[Launched]:
        """List this owner's environments, by what their Services keep of them."""
        await self._notebook.insist_on_no_twin()
        mine = f"{MANAGED_BY}={MANAGER},{OWNER}={owner_hash(owner)},{ROLE}=environment"
        found = []
        for service in await self._shared.api.list(
            await self._shared.space.path("service"), labelSelector=mine
        ):
            path = await self._shared.space.path("pod", service["metadata"]["name"])
            pod = await self._shared.api.get(path)
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
            said = self._shared.said(name, own_container(pod), command)
            return token_of(await asyncio.wait_for(said, ANSWER_SECONDS))
        return ""
