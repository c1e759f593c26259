"""Looking into a freshly built image: one pod runs it, directly and by its own entrypoint side by side."""

from __future__ import annotations

import asyncio

from ..orders import ImageInfo, ImageProbe
from ..probing import (
    ENTRYPOINT_SECONDS,
    jupyter_of,
    probe_is_complete,
    probe_of,
    probe_past_entrypoint,
)
from . import objects
from .connection import Connection, Json

AGAIN_SECONDS = 0.5
# What an activation script says besides; the probe itself prints some ten lines.
_LINES = 100


class Looks:
    """How an image is looked into, and what that shows.

    Attributes
    ----------
    named
        The command by which the image's own configuration starts JupyterLab.
    through
        Whether its entrypoint is tried: it has one, and that is not JupyterLab itself.
    """

    def __init__(self, image: ImageInfo) -> None:
        by_entrypoint = jupyter_of(image.entrypoint)
        self.named = by_entrypoint or jupyter_of(image.command)
        self.through = bool(image.entrypoint) and not by_entrypoint
        self._image = image

    async def read(self, api: Connection, namespace: str, pods: str, name: str) -> ImageProbe:
        """Read what the containers of a pod said, once the one that needs no entrypoint has ended.

        Raises
        ------
        ImageWithoutJupyter
            There is no shell in the image.
        """
        if self.through:
            said = await _passed_on(api, namespace, pods, name)
            if said:
                return probe_of(said, self.named, "runs")
        said = await api.tail(namespace, name, "job")
        return probe_past_entrypoint(said, self._image)


async def _passed_on(api: Connection, namespace: str, pods: str, name: str) -> str:
    """Return what was printed by way of the entrypoint; empty where that did not run it in its time."""
    clock = asyncio.get_running_loop().time
    ends = clock() + ENTRYPOINT_SECONDS
    while True:
        over = clock() > ends or _has_ended(await api.get(f"{pods}/{name}"))
        said = await api.tail(namespace, name, objects.ENTRYPOINT, _LINES)
        if probe_is_complete(said):
            return said
        if over:
            return ""
        await asyncio.sleep(AGAIN_SECONDS)


def _has_ended(pod: Json | None) -> bool:
    """Whether the entrypoint's container says nothing more."""
    if pod is None:
        return True
    rows = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(
        row.get("name") == objects.ENTRYPOINT and "terminated" in (row.get("state") or {})
        for row in rows
    )
