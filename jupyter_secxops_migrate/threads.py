"""Threads for calls that block, so many for each kind of call.

asyncio's own pool is one for everything: a few calls that hang (a container engine that stands still,
a project on a network folder) would take all of its threads, and then nobody could even list. That
pool is left to small things; the service's record, and whatever waits for somebody else, has threads of
its own here.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import queue
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A pool for one kind of blocking call.

    Parameters
    ----------
    kind
        What it is for; the threads are named by it.
    most
        How many calls may be under way at once; others wait their turn.
    """

    def __init__(self, kind: str, most: int) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=f"secxops-{kind}")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call; a caller that is cancelled waits no longer, the call goes on."""
        work = functools.partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self, *, wait: bool = False) -> None:
        """Take no more calls; ``wait`` for those that were asked for (blocking), or start none of them."""
        self._pool.shutdown(wait=wait, cancel_futures=not wait)


async def ended(work: Awaitable[T], seconds: float | None = None) -> T:
    """Wait for work that a thread does; whoever is cancelled waits for its end, or for so many seconds.

    Without that, a change would come after the removal of what it changed.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task], timeout=seconds)
        if not task.done():
            task.cancel()
        elif not task.cancelled():
            task.exception()  # whoever was cancelled does not ask
        raise


class Line:
    """One thread that does one call after another, the urgent ones first.

    Parameters
    ----------
    kind
        What it is for; the thread is named by it.
    """

    def __init__(self, kind: str) -> None:
        self._waiting: queue.PriorityQueue[Any] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._work, name=f"secxops-{kind}", daemon=True)
        self._thread.start()

    def run(self, function: Callable[[], T], *, urgent: bool = False) -> Future[T]:
        """Have a blocking call done; those that are as urgent are done in their order."""
        ended: Future[T] = Future()
        self._waiting.put((0 if urgent else 1, next(self._numbers), ended, function))
        return ended

    def close(self, seconds: float = 1.0) -> None:
        """End once all that was asked for is done, and wait so long for that (blocking)."""
        self._waiting.put((2, next(self._numbers), None, None))
        self._thread.join(seconds)

    def _work(self) -> None:
        while True:
            _, _, ended, function = self._waiting.get()
            if ended is None:
                return
            if not ended.set_running_or_notify_cancel():
                continue  # nobody waits for it any more
            try:
                result = function()
            except BaseException as error:
                ended.set_exception(error)
            else:
                ended.set_result(result)
            del ended, function
