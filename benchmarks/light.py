"""How little of it people feel who do not use it, and how fast it answers those who do.

Bytes that the panel adds to JupyterLab's page; the time that the extension adds to the start of a
Jupyter server, which is started with it and without it in turn; and how long the service's answers
take with 1,000 shares in its record and 50 event streams open, over its socket, as the sidebar's
and the command line's calls come in. The service, its record and its web are the real ones; its
engine is one of folders (`engines.directory`), so that no Docker is in the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
KB = 1000
PAGE_KB, START_MS, ANSWER_MS = 100, 150, 50
"""The aims."""

SERVICE = f"""
import sys
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT)!r}]
from jupyter_secxops_migrate.engines.directory import DirectoryEngine
from jupyter_secxops_migrate.hosts.house import House
from jupyter_secxops_migrate.operations.tenant import Surroundings
from jupyter_secxops_migrate.placement.policy import ResourcePolicy
from jupyter_secxops_migrate.hosts.user import SecxopsService, main

class OverFolders(SecxopsService):
    def make_service(self, folder):
        engine = DirectoryEngine(folder.parent / "engine")
        return House(Surroundings(folder, engine, ResourcePolicy()))

main(application=OverFolders)
"""


def verdict(good: bool) -> str:
    return "met" if good else "MISSED"


# --------------------------------------------------------------------------- the page


def page() -> bool:
    """Tell the compressed size of what a browser loads."""
    import jupyter_secxops_migrate

    built = Path(jupyter_secxops_migrate.__file__).parent / "labextension" / "static"
    sizes = {path.name: len(gzip.compress(path.read_bytes(), 6)) for path in built.glob("*.js")}
    if not sizes:
        sys.exit("The Lab extension is not built; `make dev` builds it.")
    total = sum(sizes.values())
    entry = sum(size for name, size in sizes.items() if name.startswith("remoteEntry."))
    good = total <= PAGE_KB * KB
    print(f"The page: {total / KB:.1f} KB compressed, the entry {entry / KB:.1f} KB of it")
    print(f"    aim: <= {PAGE_KB} KB altogether  {verdict(good)}", flush=True)
    return good


# --------------------------------------------------------------------------- a server's start


def start_once(folder: Path, extension: bool) -> float:
    """Start a Jupyter server and end it; return the seconds until it answered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
        *(
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={folder}",
        ),
        "--IdentityProvider.token=bench",
        f"--ServerApp.jpserver_extensions={{'jupyter_secxops_migrate': {extension}}}",
    ]
    clean = {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "SECXOPS_DATA_DIR": str(folder / "state"),
    }
    begin = time.perf_counter()
    server = subprocess.Popen(
        command,
        env={**os.environ, **clean},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                urllib.request.urlopen(
                    f"http://127.0.0.1:{port}/api?token=bench", timeout=5
                ).close()
                return time.perf_counter() - begin
            except OSError:
                if server.poll() is not None or time.perf_counter() - begin > 60:
                    sys.exit("The Jupyter server did not start.")
                time.sleep(0.005)
    finally:
        server.kill()
        server.wait()


def starts(rounds: int) -> bool:
    """Compare starts with the extension and without, in turn."""
    folder = Path(tempfile.mkdtemp(prefix="secxops-bench-start-"))
    try:
        start_once(folder, True)  # warms the page cache
        pairs = [
            (start_once(folder, True), start_once(folder, False))
            if number % 2
            else (start_once(folder, False), start_once(folder, True))[::-1]
            for number in range(rounds)
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    added = statistics.median(1000 * (with_ - without) for with_, without in pairs)
    with_, without = (statistics.median(times) for times in zip(*pairs, strict=True))
    good = added <= START_MS
    print(
        f"A Jupyter server's start: {with_:.2f} s with the extension, {without:.2f} s without; "
        f"{added:+.0f} ms, median of {rounds} pairs"
    )
    print(f"    aim: <= {START_MS} ms added  {verdict(good)}", flush=True)
    return good


# --------------------------------------------------------------------------- the service's answers


def wait_for(client: httpx.Client, migration: str) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = client.get(f"migrations/{migration}").json()
        if found["state"] in ("succeeded", "failed", "cancelled"):
            return found
        time.sleep(0.05)


def fill(state: Path, example: str, shares: int) -> None:
    """Put ``shares`` copies of a share into the record, each with an environment that runs."""
    from jupyter_secxops_migrate.model import Migration, utcnow
    from jupyter_secxops_migrate.operations.store import Store
    from jupyter_secxops_migrate.sharing.document import SHARES

    store = Store(f"sqlite:///{state / 'store.sqlite'}", [SHARES])
    found = store.get(example)
    assert isinstance(found, Migration)
    environments = state.parent / "engine" / "environments"
    for number in range(shares):
        one = found.model_copy(deep=True)
        one.id, one.name, one.created = f"mbench{number:04d}", f"bench-{number}", utcnow()
        one.request.name = one.name
        store.add("share", one)
        shutil.copy(environments / example, environments / one.id)
    store.close()


async def listen(client: httpx.AsyncClient, ready: asyncio.Event) -> None:
    async with client.stream("GET", "events", timeout=None) as stream:
        ready.set()
        async for _ in stream.aiter_raw():
            pass


async def calls(
    client: httpx.AsyncClient, seconds: float, shares: int, pause: float
) -> dict[str, list[float]]:
    """Do what panels do, one after the other, for a while; return milliseconds by call."""
    times: dict[str, list[float]] = {}
    pages = ["migrations?limit=50"]
    pages += [
        f"migrations?limit=50&before=mbench{number:04d}" for number in range(shares - 50, 0, -50)
    ]
    end = time.perf_counter() + seconds
    turn = 0
    while time.perf_counter() < end:
        asked = {
            "a page of 50": pages[turn % len(pages)],
            "one share": f"migrations/mbench{turn * 37 % shares:04d}",
            "its log": f"migrations/mbench{turn * 37 % shares:04d}/log",
        }
        for name, path in asked.items():
            begin = time.perf_counter()
            answer = await client.get(path)
            times.setdefault(name, []).append(1000 * (time.perf_counter() - begin))
            answer.raise_for_status()
            await asyncio.sleep(pause)
        turn += 1
    return times


def answers(shares: int, streams: int, seconds: float) -> bool:
    """Ask the service as panels do."""
    from jupyter_secxops_migrate.routes import API
    from jupyter_secxops_migrate.runtime import Runtime

    folder = Path(tempfile.mkdtemp(prefix="secxops-bench-light-"))
    project = folder / "project"
    project.mkdir()
    (project / "Dockerfile").write_text("FROM base\nRUN pip install jupyterlab\n")
    (project / "train.py").write_text("print(1)\n")
    os.environ["SECXOPS_DATA_DIR"] = str(folder / "state")
    runtime = Runtime.find()
    runtime.make()
    service = subprocess.Popen([sys.executable, "-c", SERVICE], cwd=folder)
    try:
        while runtime.listener() is None:
            if service.poll() is not None:
                sys.exit("The service did not start.")
            time.sleep(0.02)
        transport = httpx.HTTPTransport(uds=str(runtime.address()))
        address = f"http://secxops/{API}/"
        with httpx.Client(transport=transport, base_url=address, timeout=60) as client:
            made = client.post("migrations", json={"project": str(project)}).json()
            ended = wait_for(client, made["id"])
            if ended["state"] != "succeeded":
                sys.exit(f"The share that all are copies of failed: {ended['error']}")
        fill(runtime.data, made["id"], shares)

        async def ask() -> dict[str, list[float]]:
            async def connect() -> httpx.AsyncClient:
                return httpx.AsyncClient(
                    transport=httpx.AsyncHTTPTransport(uds=str(runtime.address())),
                    base_url=address,
                    timeout=60,
                )

            clients = [await connect() for _ in range(streams + 1)]
            ready = [asyncio.Event() for _ in range(streams)]
            listening = [
                asyncio.create_task(listen(client, event))
                for client, event in zip(clients[1:], ready, strict=True)
            ]
            await asyncio.gather(*(event.wait() for event in ready))
            await calls(clients[0], 3, shares, 0)  # looks at each environment for the first time
            try:
                return await calls(clients[0], seconds, shares, 0.005)
            finally:
                for task in listening:
                    task.cancel()
                await asyncio.gather(*listening, return_exceptions=True)
                for client in clients:
                    await client.aclose()

        times = asyncio.run(ask())
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
    every = [one for measured in times.values() for one in measured]
    print(f"The service's answers, {shares:,} shares recorded, {streams} event streams open")
    for name, measured in {**times, "all": every}.items():
        measured.sort()
        p99 = measured[int(len(measured) * 0.99)]
        median = statistics.median(measured)
        print(f"    {name:14} {len(measured):5} calls  median {median:5.1f} ms  p99 {p99:5.1f} ms")
    good = p99 <= ANSWER_MS
    print(f"    aim: p99 <= {ANSWER_MS} ms  {verdict(good)}", flush=True)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="pairs of server starts")
    parser.add_argument("--shares", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=15.0, help="how long to ask")
    given = parser.parse_args()
    good = [page(), starts(given.rounds), answers(given.shares, given.streams, given.seconds)]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
