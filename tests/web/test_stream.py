"""What goes out on a stream of events, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tornado.iostream import StreamClosedError

from jupyter_secxops_migrate.errors import NotFound
from jupyter_secxops_migrate.model import Event, Subject, utcnow
from jupyter_secxops_migrate.web.activity import Activity
from jupyter_secxops_migrate.web.stream import MOST_UNSENT, EventStream


class Client:
    """Takes what a handler sends, each time that it is ready for more."""

    def __init__(self) -> None:
        self.packets: list[str] = []
        self.ready = asyncio.Event()
        self.ready.set()
        self.left = False
        self._written = ""

    def set_header(self, name: str, value: str) -> None:
        pass

    def write(self, text: str) -> None:
        self._written += text

    async def flush(self) -> None:
        if self.left:
            raise StreamClosedError
        text, self._written = self._written, ""
        await self.ready.wait()
        self.packets.append(text)

    @property
    def numbers(self) -> list[int]:
        """The ids of the events that have come."""
        lines = "".join(self.packets).splitlines()
        return [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]


def event(number: int) -> Event:
    subject = Subject(kind="share", id="m1")
    return Event(
        id=number, time=utcnow(), migration="m1", subject=subject, kind="log", line=str(number)
    )


def send(client: Any, events: AsyncIterator[Event]) -> asyncio.Task[None]:
    return asyncio.create_task(EventStream(client, Activity()).send(events))


def test_events_that_come_at_once_go_out_at_once_and_in_order() -> None:
    async def body() -> None:
        async def events() -> AsyncIterator[Event]:
            for number in range(100):
                yield event(number)
            await asyncio.sleep(0.05)
            yield event(100)

        client = Client()
        await send(client, events())

        assert client.numbers == list(range(101))
        assert len(client.packets) == 4  # how soon to come again, the hundred, the one, the end

    asyncio.run(body())


def test_a_slow_client_does_not_make_the_service_keep_all_that_comes() -> None:
    async def body() -> None:
        taken = 0

        async def events() -> AsyncIterator[Event]:
            nonlocal taken
            for number in range(10 * MOST_UNSENT):
                taken = number
                yield event(number)
                if number == 0:
                    client.ready.clear()
                    await asyncio.sleep(0.01)

        client = Client()
        sending = send(client, events())
        await asyncio.sleep(0.1)
        assert taken <= MOST_UNSENT
        client.ready.set()
        await sending

        assert client.numbers == list(range(10 * MOST_UNSENT))

    asyncio.run(body())


def test_what_came_before_a_failure_goes_out_before_it() -> None:
    async def body() -> None:
        async def events() -> AsyncIterator[Event]:
            yield event(1)
            raise NotFound(id="m1")

        client = Client()
        await send(client, events())

        assert client.numbers == [1] and "event: failure" in client.packets[-1]

    asyncio.run(body())


def test_a_stream_whose_client_left_ends() -> None:
    async def body() -> None:
        async def events() -> AsyncIterator[Event]:
            client.left = True
            yield event(1)
            await asyncio.sleep(0.01)
            yield event(2)
            await asyncio.Event().wait()

        client = Client()
        await asyncio.wait_for(send(client, events()), 5)

    asyncio.run(body())
