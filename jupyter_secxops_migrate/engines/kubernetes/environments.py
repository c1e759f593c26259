"""Environments: what the launcher that is set does, for the source and the notebook of this engine.

Plays the role `Environments`. How one is started, looked into and found again is its launcher's business.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..orders import InsideOrder, Launched, LaunchOrder, Observation, VolumeSeen
from .notebook import Notebook
from .recent import STEP_SECONDS
from .shared import Shared
from .source import Source


class Environments:
    """The environments of one namespace."""

    def __init__(self, shared: Shared, source: Source, notebook: Notebook) -> None:
        self._launcher = shared.launcher
        self._source = source
        self._notebook = notebook

    async def launch(self, order: LaunchOrder) -> Observation:
        """Start the environment and wait until JupyterLab answers."""
        return await self._launcher.launch(order, await self._source.pod(STEP_SECONDS))

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at the launched environment; without ``fresh`` as the last change told."""
        return await self._launcher.inspect(migration, fresh=fresh)

    async def look_inside(self, order: InsideOrder) -> Sequence[VolumeSeen]:
        """Look from inside the environment, as its own user, at what was copied."""
        return await self._launcher.look_inside(order)

    async def stop(self, migration: str) -> None:
        """Stop the environment; absent is success."""
        await self._launcher.stop(migration)

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment again."""
        return await self._launcher.start(migration)

    async def launched(self, owner: str) -> Sequence[Launched]:
        """List this owner's environments whose shares the launcher can tell of, if no twin made them."""
        await self._notebook.insist_on_no_twin()
        return await self._launcher.launched(owner)
