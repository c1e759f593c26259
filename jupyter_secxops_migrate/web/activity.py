"""What is going on at the service's door: requests under way and open event streams.

The host asks it before it ends an idle service; it knows nothing of migrations.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Activity:
    """Counts what is open and remembers when the last of it ended."""

    def __init__(self) -> None:
        self._open = 0
        self._last = time.monotonic()
        self._streams: set[asyncio.Future[None]] = set()

    def begin(self) -> None:
        """Note that a request came."""
        self._open += 1

    def end(self) -> None:
        """Note that a request was answered."""
        self._open -= 1
        self._last = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last request ended; 0 while one is open."""
        return 0.0 if self._open else time.monotonic() - self._last

    @property
    def quiet(self) -> bool:
        """Whether nothing is open."""
        return self._open == 0

    async def calm(self, seconds: float) -> None:
        """Wait until nothing is open, at most so many seconds."""
        for _ in range(int(seconds / 0.02)):
            if self.quiet:
                return
            await asyncio.sleep(0.02)

    @contextmanager
    def stream(self) -> Iterator[asyncio.Future[None]]:
        """Give a stream the future whose result means: end now."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._streams.add(ended)
        try:
            yield ended
        finally:
            self._streams.discard(ended)

    def end_streams(self) -> None:
        """Ask every open stream to end; its client comes back when the service does."""
        for ended in list(self._streams):
            if not ended.done():
                ended.set_result(None)
