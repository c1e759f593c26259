"""Several streams at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")


async def side_by_side(streams: Sequence[AsyncIterator[T]]) -> AsyncIterator[tuple[int, T]]:
    """Yield what several streams yield, as it comes, with the number of the stream.

    The first error ends them all; so does cancelling the reader.
    """
    queue: asyncio.Queue[tuple[int, T] | None] = asyncio.Queue()

    async def read(number: int, items: AsyncIterator[T]) -> None:
        try:
            async for item in items:
                await queue.put((number, item))
        finally:
            queue.put_nowait(None)

    tasks = [asyncio.ensure_future(read(n, items)) for n, items in enumerate(streams)]
    try:
        left = len(tasks)
        while left:
            found = await queue.get()
            if found is not None:
                yield found
                continue
            left -= 1
            for task in tasks:
                if task.done() and not task.cancelled() and (error := task.exception()):
                    raise error
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
