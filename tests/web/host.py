"""The memory service on a loopback port, with two users, inside this process or as its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tokens import TokenIdentity
from tornado.netutil import bind_sockets

from jupyter_secxops_migrate.web.application import ServiceApplication, serve_application

from .memory import MemoryService

ALICE, BOB = "token-of-alice", "token-of-bob"


@dataclass
class Host:
    """Where the service listens, and its inside for tests to look at."""

    url: str
    service: MemoryService
    application: ServiceApplication


@contextmanager
def serving(base_url: str = "/") -> Iterator[Host]:
    """Run the service in a thread of its own."""
    ready: threading.Event = threading.Event()
    found: list[Host] = []
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        service = MemoryService()
        [listening] = bind_sockets(0, "127.0.0.1")
        port = listening.getsockname()[1]
        application = ServiceApplication(
            service,
            TokenIdentity({ALICE: "alice", BOB: "bob"}),
            base_url=base_url,
            allowed_hosts={f"127.0.0.1:{port}", f"localhost:{port}"},
        )
        server = serve_application(application)
        server.add_sockets([listening])
        stopping = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stopping))
        found.append(Host(f"http://127.0.0.1:{port}", service, application))
        ready.set()
        await stopping.wait()
        server.stop()
        application.activity.end_streams()
        await service.close()
        await asyncio.sleep(0.05)
        await server.close_all_connections()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(10)
    try:
        yield found[0]
    finally:
        loop, stopping = loops[0]
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)
