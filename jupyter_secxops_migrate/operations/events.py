"""One reader of the newest events for all who follow them.

A hundred streams that each asked the store after every change would be a hundred questions a change. Here
one task asks; streams take what is theirs from memory, and ask the store themselves only for what is older.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Collection, Iterator
from typing import Any

from .. import errors
from ..model import Event
from .records import Records

_KEPT = 2000
"""How many events are kept in memory; whoever is further behind asks the store."""
_LOOK_AGAIN_SECONDS = 5.0


class Tail:
    """The end of the sequence of events, read as long as somebody follows it."""

    def __init__(self, records: Records[Any, Any]) -> None:
        self._records = records
        self._newest: deque[tuple[str, Event]] = deque()
        self._floor: int | None = None
        """Past this number, and up to `_last`, all events are in memory."""
        self._last = 0
        self._more = asyncio.Event()
        self._trouble: errors.SecxopsError | None = None
        self._followers = 0
        self._reader: asyncio.Task[None] | None = None

    async def follow(
        self, owner: str, operation: str | None = None, after: int | None = None
    ) -> AsyncGenerator[Event]:
        """Yield an owner's events as they happen, after replaying those past ``after``.

        With ``after=None`` it starts now. With an operation it ends after its last state was yielded.

        Raises
        ------
        errors.SecxopsError
            The record can't be read.
        """
        last = await self._records.last_event() if after is None else after
        with self._reading():
            # Asked first, or the events of its end could slip in between.
            ended = operation is not None and await self._ended(operation)
            while True:
                if self._trouble is not None:
                    raise self._trouble
                more, read = self._more, self._last
                found = await self._past(last, owner, operation)
                for event in found:
                    last = event.id
                    yield event
                    if event.kind in ("state", "deleted"):
                        ended = operation is not None and (event.state is None or event.state.final)
                if found:
                    continue
                if ended:
                    return
                last = max(last, read)
                await more.wait()

    async def _ended(self, operation: str) -> bool:
        try:
            return bool((await self._records.get(operation)).state.final)
        except errors.NotFound:
            return True

    async def _past(self, last: int, owner: str, operation: str | None) -> Collection[Event]:
        if self._floor is None or last < self._floor:
            rows = await self._records.owned_events(owner, last, operation)
            return [event for _, event in rows]
        found: deque[Event] = deque()
        for whose, event in reversed(self._newest):
            if event.id <= last:
                break
            if whose == owner and operation in (None, event.migration):
                found.appendleft(event)
        return found

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        self._followers += 1
        if self._reader is None or self._reader.done():
            self._forget()
            self._reader = asyncio.create_task(self._read())
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._reader.cancel()
                self._forget()

    def _forget(self) -> None:
        self._newest.clear()
        self._floor, self._last, self._trouble = None, 0, None

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        news = asyncio.Event()
        store = self._records.store

        def hear(_: Collection[str]) -> None:
            loop.call_soon_threadsafe(news.set)

        unlisten = store.listen(hear)
        try:
            self._floor = self._last = await self._records.last_event()
            while True:
                self._wake()
                news.clear()
                while found := await self._records.owned_events(None, self._last):
                    self._take(found)
                # Another process may write to a shared database: looked for now and then.
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(
                        news.wait(), _LOOK_AGAIN_SECONDS if store.shared else None
                    )
        except errors.SecxopsError as error:
            self._trouble = error
            self._wake()
        finally:
            unlisten()

    def _take(self, found: Collection[tuple[str, Event]]) -> None:
        for row in found:
            self._newest.append(row)
            self._last = row[1].id
        while len(self._newest) > _KEPT:
            self._floor = self._newest.popleft()[1].id
        self._wake()

    def _wake(self) -> None:
        waiting, self._more = self._more, asyncio.Event()
        waiting.set()
