"""The look from inside a running pod."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ..inside import Look, failed
from ..names import Names
from ..orders import InsideOrder, VolumeSeen
from .namespace import Namespace
from .pods import own_container, where


async def look_inside(space: Namespace, order: InsideOrder) -> Sequence[VolumeSeen]:
    """Execute the look in the environment's pod, in the container that is ours."""
    look = Look(order)
    pod = await space.ours.pod(await space.name(), Names(order.migration).environment)
    if pod is None:
        raise failed("it is gone")
    name, node = where(pod)

    async def given() -> AsyncIterator[bytes]:
        for chunk in look.input():
            yield chunk

    output = space.api.execute(
        await space.name(), name, own_container(pod), look.command(), given(), node=node
    )
    return await look.answer(output)
