"""What a large cluster costs the service: 5,000 nodes and 150,000 pods, listed once and kept current.

A process of its own plays the API server, page by page, with the JSON that real ones send; measured
are the time of the first list of both and the memory that this process has more than before.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import random
import sys
import tempfile
import time
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from jupyter_secxops_migrate.engines.kubernetes.connection import Connection
from jupyter_secxops_migrate.engines.kubernetes.watched import Watched
from jupyter_secxops_migrate.placement.nodes import Node, with_pods
from jupyter_secxops_migrate.placement.requests import record_of

from .placement import node_json, pod_json, verdict

NODES, PODS = 5_000, 150_000
MEGABYTES = 300
"""The aim: memory resident on top."""


def serve(pipe: Pipe) -> None:
    """Answer lists, a page at a time, and watches in which nothing happens."""
    from aiohttp import web

    def item(kind: str, number: int) -> dict[str, Any]:
        dice = random.Random(number)
        if kind == "nodes":
            return node_json(number, dice)
        node = number % NODES
        found = pod_json(
            number, f"ip-10-{node >> 8}-{node & 255}.eu-central-1.compute.internal", dice
        )
        found.setdefault("metadata", {}).update(
            name=f"pod-{number}", namespace=f"team-{number % 50}"
        )
        found.setdefault("status", {})["phase"] = "Running"
        return found

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            await asyncio.sleep(3600)
        kind = request.match_info["kind"]
        whole = NODES if kind == "nodes" else PODS
        at = int(request.query.get("continue") or 0)
        end = min(whole, at + int(request.query["limit"]))
        metadata = {"resourceVersion": "1", **({"continue": str(end)} if end < whole else {})}
        return web.json_response(
            {"metadata": metadata, "items": [item(kind, number) for number in range(at, end)]}
        )

    async def go() -> None:
        application = web.Application()
        application.router.add_get("/api/v1/{kind}", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(go())


def resident() -> float:
    """Return this process's memory in megabytes."""
    gc.collect()
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096 / 1e6


async def measure(port: int) -> tuple[float, float, float]:
    """Return seconds of the first list, of a decision's sums, and megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        config = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "me", "user": {}}],
        }
        path = Path(folder) / "kubeconfig"
        path.write_text(json.dumps(config))
        connection = Connection(str(path))
        await connection.open()
        before = resident()
        began = time.monotonic()
        nodes = Watched(connection, "/api/v1/nodes", Node.from_json)
        pods = Watched(connection, "/api/v1/pods", record_of)
        found, records = await nodes.items(), await pods.items()
        listed = time.monotonic() - began
        assert (len(list(found)), len(list(records))) == (NODES, PODS)
        began = time.monotonic()
        with_pods(found, records)
        sums = time.monotonic() - began
        after = resident()
        await nodes.close()
        await pods.close()
        await connection.close()
        return listed, sums, after - before


def main() -> int:
    """Measure and print; the status says whether the aim was met."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    try:
        listed, sums, more = asyncio.run(measure(here.recv()))
    finally:
        process.kill()
        process.join()
    good = more <= MEGABYTES
    print(f"{NODES} nodes and {PODS} pods")
    print(f"  first list, with the server's own work  {listed:6.1f} s")
    print(f"  sums of what is used                    {sums * 1000:6.0f} ms")
    print(
        f"  memory on top                           {more:6.0f} MB  (aim {MEGABYTES}) {verdict(good)}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
