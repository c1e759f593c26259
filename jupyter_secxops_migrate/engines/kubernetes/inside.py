"""The look from inside a running pod."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from ..inside import SAID_BYTES, SECONDS, Look, failed
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
    said = bytearray()

    async def given() -> AsyncIterator[bytes]:
        for chunk in look.input():
            yield chunk

    async def read() -> None:
        output = space.api.execute(
            await space.name(), name, own_container(pod), look.command(), given(), node=node
        )
        async with contextlib.aclosing(output) as chunks:
            async for chunk in chunks:
                said.extend(chunk[: SAID_BYTES - len(said)])

    try:
        await asyncio.wait_for(read(), SECONDS)
    except (asyncio.TimeoutError, TimeoutError):
        raise failed(f"it took longer than {SECONDS} seconds") from None
    return look.read(bytes(said))
