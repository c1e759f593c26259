"""How a launched container is asked whether its JupyterLab answers.

Always at an address and a port that the engine published, and without a thread: one that answers a
byte a second costs nobody else anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ..health import (
    ANSWER_SECONDS,
    PORT,
    STATUS,
    VERSION,
    Answer,
    admits,
    complete,
    is_jupyter,
    read,
    refuses,
    request,
)

Address = tuple[str, int]
_CHUNK = 16 * 1024


def address_of(container: Mapping[str, Any], *, neighbour: bool) -> Address | None:
    """Return where JupyterLab answers to this process, None where the container has no address yet.

    On the port that is published on the loopback address; but a ``neighbour``, a process in another
    container of the engine, has a loopback of its own, on which somebody else may listen.
    """
    network = container["NetworkSettings"]
    if neighbour:
        for row in (network.get("Networks") or {}).values():
            if row.get("IPAddress"):
                return str(row["IPAddress"]), PORT
        return None
    port = published(container)
    return None if port is None else ("127.0.0.1", port)


def published(container: Mapping[str, Any]) -> int | None:
    """Return the port of the engine's host on which JupyterLab is published, None without one."""
    rows = (container["NetworkSettings"].get("Ports") or {}).get(f"{PORT}/tcp") or ()
    return next((int(row["HostPort"]) for row in rows), None)


async def answers(address: Address) -> bool:
    """Whether a Jupyter server answers there."""
    return is_jupyter(await ask(address, VERSION))


async def insists_on_token(address: Address, token: str) -> bool:
    """Whether the Jupyter server there lets in who has the token, and nobody else.

    One that lets strangers in is not sent the token.
    """
    return refuses(await ask(address, STATUS)) and admits(await ask(address, STATUS, token))


async def ask(address: Address, path: str, token: str | None = None) -> Answer:
    """Ask once."""
    question = request(path, address[1], token)
    try:
        return await asyncio.wait_for(_exchange(address, question), ANSWER_SECONDS)
    except (asyncio.TimeoutError, TimeoutError, OSError):
        return Answer()


async def _exchange(address: Address, question: bytes) -> Answer:
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(question)
        data = b""
        while not complete(data) and (chunk := await reader.read(_CHUNK)):
            data += chunk
        return read(data)
    finally:
        writer.transport.abort()
