"""Blocking streams of docker-py as async iterators that can be ended.

docker-py blocks; a stream is read in a thread of its own and handed over through a bounded queue.
Cancelling the reader calls ``close``, which shuts the connection down under the thread, so that
Docker stops what it was doing for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
_LIMIT = 200
_END_SECONDS = 30.0
"""How long the end of what was shut down is waited for: the classic builder first ends the `COPY` it is in."""


async def stream(items: Callable[[], Iterator[T]], close: Callable[[], None]) -> AsyncGenerator[T]:
    """Yield what the blocking iterator yields.

    Parameters
    ----------
    items
        Called in the thread; makes the iterator.
    close
        Called when the reader goes away early: must make the iterator end or raise.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[bool, T | BaseException | None]] = asyncio.Queue()
    room = threading.Semaphore(_LIMIT)
    gone = threading.Event()

    def put(more: bool, item: T | BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(queue.put_nowait, (more, item))

    def read() -> None:
        try:
            for item in items():
                while not room.acquire(timeout=0.2):
                    if gone.is_set():
                        return
                if gone.is_set():
                    return
                put(True, item)
        except BaseException as error:  # handed to the reader
            put(False, error)
        else:
            put(False, None)

    thread = threading.Thread(target=read, name="docker-stream", daemon=True)
    thread.start()
    try:
        while True:
            more, item = await queue.get()
            if not more:
                if isinstance(item, BaseException):
                    raise item
                return
            room.release()
            yield item  # type: ignore[misc]
    finally:
        gone.set()
        if thread.is_alive():
            close()
            await asyncio.shield(asyncio.to_thread(thread.join, _END_SECONDS))
