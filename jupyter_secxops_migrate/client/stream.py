"""The event stream from outside: what was sent, read, and followed over breaks and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from ..hosts.errors import ServiceUnavailable
from ..model import Event
from .connection import SILENCE_SECONDS, TRIES, Connection, error_of


async def frames(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str | None, str, bytes]]:
    """Read server-sent events: id, kind and data of each.

    Lines end in LF alone, as this service writes them; a stream that ends within an event loses
    that event, as the specification (HTML, 9.2) says.
    """
    rest = b""
    number: str | None = None
    kind = "message"
    data: list[bytes] = []
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if not line:
                if data:
                    yield number, kind, b"\n".join(data)
                kind, data = "message", []
                continue
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"id":
                number = value.decode("ascii", "replace")
            elif name == b"event":
                kind = value.decode("ascii", "replace")
            elif name == b"data":
                data.append(value)


async def events(
    connection: Connection, migration_id: str | None = None, after: int | None = None
) -> AsyncGenerator[Event]:
    """Yield events, across breaks of the connection and restarts of the service.

    What happens during a break is not lost, except before the first event of a stream that
    starts now (``after=None``).
    """
    import httpx
    from pydantic import ValidationError

    params = [] if migration_id is None else [("migration", migration_id)]
    failures = 0
    while True:
        # As a header, not in the query: a reconnect is the same request.
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        try:
            async with connection.call(
                "GET", "events", params=params, headers=headers, silence=SILENCE_SECONDS
            ) as response:
                if not response.is_success:
                    raise error_of(response.status_code, await response.aread())
                async for number, kind, data in frames(connection.pieces(response.aiter_bytes())):
                    failures = 0
                    if kind == "end":
                        return
                    if kind == "failure":
                        raise error_of(response.status_code, data)
                    if number is not None and number.isdigit():
                        after = int(number)
                    try:
                        event = Event.model_validate_json(data)
                    except ValidationError:
                        # A kind that only a newer service knows.
                        continue
                    yield event
        except (httpx.TransportError, ServiceUnavailable) as error:
            failures += 1
            if failures > TRIES:
                if isinstance(error, ServiceUnavailable):
                    raise
                raise ServiceUnavailable("The stream of events breaks.", log="") from None
        await asyncio.sleep(min(2.0, 0.05 * 2**failures))
