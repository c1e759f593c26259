"""A stream of server-sent events, kept alive, that can be taken up again.

Each event is ``id``, ``event`` (its kind) and ``data`` (its JSON). ``event: end`` says that there will be no
more (the migration asked for has ended); a stream that ends without it was interrupted, and the client comes
back with ``Last-Event-ID``. ``event: failure`` carries an error. Whose events they are is the API's to say.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from ..errors import SecxopsError
from ..model import Event
from ..routes import STREAM
from .activity import Activity

KEEP_ALIVE_SECONDS = 15.0
RETRY_MILLISECONDS = 1000
MOST_UNSENT = 500
"""How many events wait for a client that is slow."""


class EventStream:
    """Answers one request with events.

    Parameters
    ----------
    handler
        Has the request.
    activity
        Counts open streams, and says when they are to end.
    """

    def __init__(self, handler: RequestHandler, activity: Activity) -> None:
        self._handler = handler
        self._activity = activity
        self._ended: asyncio.Future[None] | None = None
        self._quiet = True

    def end(self) -> None:
        """End when the client has gone."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def send(self, events: AsyncIterator[Event]) -> None:
        """Send events until nobody wants them."""
        self._handler.set_header("Content-Type", STREAM)
        self._handler.set_header("X-Accel-Buffering", "no")
        with self._activity.stream() as ended:
            self._ended = ended
            try:
                await self._send(f"retry: {RETRY_MILLISECONDS}\n\n")
                await self._pump(events, ended)
            except StreamClosedError:
                pass
            except SecxopsError as error:
                await self._send(_frame("failure", json.dumps(error.as_dict())))
            finally:
                await _close(events)

    async def _pump(self, events: AsyncIterator[Event], ended: asyncio.Future[None]) -> None:
        sending = asyncio.create_task(self._send_all(events))
        both: set[asyncio.Future[Any]] = {sending, ended}
        try:
            while not ended.done():
                self._quiet = True
                await asyncio.wait(
                    both,
                    timeout=KEEP_ALIVE_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if ended.done():
                    return
                if sending.done():
                    sending.result()
                    await self._send(_frame("end", "{}"))
                    return
                if self._quiet:
                    await self._send(": \n\n")
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send_all(self, events: AsyncIterator[Event]) -> None:
        """Send events; those that come at once go out at once.

        Otherwise fifty streams that hear of twenty changes would send a thousand packets, ahead of any answer.
        """
        unsent: list[str] = []
        sending: asyncio.Task[None] | None = None

        async def send() -> None:  # begins when nothing more comes at once
            while unsent:
                text = "".join(unsent)
                unsent.clear()
                await self._send(text)

        try:
            async for event in events:
                self._quiet = False
                unsent.append(f"id: {event.id}\n{_frame(event.kind, event.text)}")
                if sending is None or sending.done():
                    if sending is not None:
                        sending.result()
                    sending = asyncio.create_task(send())
                elif len(unsent) >= MOST_UNSENT:  # the client is slow
                    await sending
            if sending is not None:
                await sending
        except SecxopsError:
            if sending is not None:
                await sending  # what came before the failure goes out before it
            raise
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, text: str) -> None:
        self._handler.write(text)
        await self._handler.flush()


def _frame(kind: str, data: str) -> str:
    return f"event: {kind}\ndata: {data}\n\n"


async def _close(events: AsyncIterator[Event]) -> None:
    close = getattr(events, "aclose", None)
    if close is not None:
        await close()
