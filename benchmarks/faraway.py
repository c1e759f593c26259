"""How fast the service answers while its record is a network away.

A real PostgreSQL behind a proxy that holds every packet back for half a round trip; operations that work
and tell of it, and event streams that follow them; and calls as the sidebar makes them, over the service's
socket. The kind of operation is the tests' smallest one beside shares, so that no engine is in the figures.

The service, the proxy and those who ask are processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import pwd
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
AIM_MS = 50.0
_CHUNK = 65_536


# --------------------------------------------------------------------------- the network


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> None:
    """Pass on what comes, each part so much later, without holding up what comes after it."""
    loop = asyncio.get_running_loop()
    parts: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def send() -> None:
        while True:
            due, part = await parts.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not part:
                writer.close()
                return
            writer.write(part)
            await writer.drain()

    sending = asyncio.create_task(send())
    try:
        while part := await reader.read(_CHUNK):
            parts.put_nowait((loop.time() + seconds, part))
    except ConnectionError:
        pass
    parts.put_nowait((loop.time() + seconds, b""))
    await asyncio.gather(sending, return_exceptions=True)


async def proxy(port: int, milliseconds: float) -> None:
    """Stand before a server of loopback; print the port to ask instead."""
    seconds = milliseconds / 2000

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_carry(reader, back, seconds), _carry(there, writer, seconds))

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# --------------------------------------------------------------------------- the service


async def serve(url: str, folder: Path, operations: int) -> None:
    """Serve shares on a socket, beside operations of another kind that are at work."""
    from tornado.netutil import bind_unix_socket

    from jupyter_secxops_migrate.engines.directory import DirectoryEngine
    from jupyter_secxops_migrate.hosts.house import House
    from jupyter_secxops_migrate.model import Migration, MigrationState, ShareRequest, utcnow
    from jupyter_secxops_migrate.operations.kind import fresh_steps
    from jupyter_secxops_migrate.operations.tenant import Surroundings
    from jupyter_secxops_migrate.placement.policy import ResourcePolicy
    from jupyter_secxops_migrate.web.application import ServiceApplication, serve_application
    from jupyter_secxops_migrate.web.identity import PeerIdentity

    from .working import Working

    around = Surroundings(folder, DirectoryEngine(folder / "engine"), ResourcePolicy())
    house = House(around, url, operations)
    service: Any = house.services["sharing"]
    service.store.schemas[Working.schema.kind] = Working.schema
    kind = Working(service.operations)
    service.operations.register(kind)
    await house.start()
    identity = PeerIdentity()
    owner = pwd.getpwuid(os.geteuid()).pw_name
    for number in range(100):
        name = f"share-{number}"
        share = Migration(
            id=f"mshare{number:04}",
            owner=owner,
            name=name,
            state=MigrationState.FAILED,
            created=utcnow(),
            request=ShareRequest(project="/p", name=name),
            steps=fresh_steps(service.sharing),
        )
        await service.records.add(share, None, "", named=True)
    for number in range(operations):
        await service.operations.add(kind.records, kind.record(number, owner), None, "", named=True)
    server = serve_application(ServiceApplication(house, identity))
    server.add_socket(bind_unix_socket(os.fspath(folder / "socket"), mode=0o600))
    while len(kind.at_work) < operations:  # noqa: ASYNC110 - nobody says so
        await asyncio.sleep(0.1)
    gc.freeze()  # as the real host does
    print("ready", flush=True)
    await asyncio.Event().wait()


# --------------------------------------------------------------------------- those who ask


def _client(folder: Path) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(
        uds=os.fspath(folder / "socket"), limits=httpx.Limits(max_connections=None)
    )
    base = "http://service/secxops/api/v1/"
    return httpx.AsyncClient(transport=transport, base_url=base, timeout=60)


async def follow(folder: Path, streams: int) -> None:
    """Follow events on many streams; print how many come in a second, each second."""
    heard = 0

    async def hear(client: httpx.AsyncClient) -> None:
        nonlocal heard
        async with client.stream("GET", "events", timeout=None) as stream:
            async for part in stream.aiter_raw():
                heard += part.count(b"id: ")

    async with _client(folder) as client:
        following = [asyncio.create_task(hear(client)) for _ in range(streams)]
        while True:
            await asyncio.sleep(1)
            print(heard, flush=True)
            heard = 0
            assert not any(task.done() for task in following)


async def ask(folder: Path, seconds: float) -> dict[str, list[float]]:
    """Make calls for a while; return milliseconds by call."""
    times: dict[str, list[float]] = {"list": [], "get": [], "log": []}
    async with _client(folder) as client:
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            for name, path in (
                ("list", "migrations?limit=20"),
                ("get", "migrations/mshare0007"),
                ("log", "migrations/mshare0007/log"),
            ):
                began = time.perf_counter()
                (await client.get(path)).raise_for_status()
                times[name].append(1000 * (time.perf_counter() - began))
                await asyncio.sleep(0.01)
    return times


# --------------------------------------------------------------------------- all of it


def main() -> int:
    """Measure, and say whether the aim is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--round-trip", type=float, default=20.0, help="milliseconds")
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--operations", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--part", nargs="*", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        return _part(asked)
    sys.path.insert(0, str(ROOT / "tests"))
    from operations.postgres import Postgres, found

    programs = found()
    if programs is None:
        sys.exit("PostgreSQL is not installed (apt-get install postgresql).")
    processes: list[subprocess.Popen[str]] = []

    def start(*words: str) -> tuple[subprocess.Popen[str], str]:
        options = [
            f"--round-trip={asked.round_trip}",
            f"--operations={asked.operations}",
            f"--streams={asked.streams}",
        ]
        command = [sys.executable, "-m", "benchmarks.faraway", *options, "--part", *words]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    with tempfile.TemporaryDirectory(prefix="secxops-bench-") as name:
        folder = Path(name)
        server = Postgres(programs, folder)
        server.start()
        try:
            _, port = start("proxy", str(server.port))
            _, said = start("serve", server.database(int(port)), name)
            if said != "ready":
                sys.exit("The service did not start.")
            following, _ = start("follow", name)
            assert following.stdout is not None
            heard = int(following.stdout.readline())
            times = asyncio.run(ask(folder, asked.seconds))
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGKILL)
                process.wait()
            server.stop()
    return _tell(asked, times, heard)


def _part(asked: argparse.Namespace) -> int:
    what, *words = asked.part
    if what == "proxy":
        asyncio.run(proxy(int(words[0]), asked.round_trip))
    elif what == "follow":
        asyncio.run(follow(Path(words[0]), asked.streams))
    else:
        asyncio.run(serve(words[0], Path(words[1]), asked.operations))
    return 0


def _tell(asked: argparse.Namespace, times_of: dict[str, list[float]], heard: int) -> int:
    print(
        f"A record {asked.round_trip:.0f} ms away, {asked.operations} operations at work, "
        f"{asked.streams} streams that hear {heard} events a second:"
    )
    worst = 0.0
    for name, times in times_of.items():
        high = statistics.quantiles(times, n=100)[98]
        worst = max(worst, high)
        print(
            f"    {name}: median {statistics.median(times):.0f} ms, p99 {high:.0f} ms ({len(times)})"
        )
    good = worst <= AIM_MS
    print(f"    aim: p99 <= {AIM_MS:.0f} ms  {'met' if good else 'MISSED'}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
