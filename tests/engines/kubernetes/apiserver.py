"""A small API server: pods in lists with pages and in watches, and what can go wrong with them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from jupyter_secxops_migrate.engines.kubernetes.connection import Connection

Json = dict[str, Any]


class ApiServer:
    """Serves one path, ``/api/v1/pods``; told to fail, it does."""

    def __init__(self) -> None:
        self.version = 1
        self.objects: dict[str, Json] = {}
        self.changes: list[tuple[int, str, Json]] = []
        self.asked: Counter[str] = Counter()
        self.forbidden = False
        self.page = ""
        """What a proxy before it answers instead."""
        self.accepted = ""
        """The token that is valid; empty: each is."""
        self.forgotten = 0
        """Changes up to this version are not known any more."""
        self._new = asyncio.Event()
        self._breaking = asyncio.Event()
        self._losing = asyncio.Event()

    def put(
        self, name: str, kind: str = "MODIFIED", status: Json | None = None, **spec: Any
    ) -> None:
        self.version += 1
        metadata = {"name": name, "namespace": "a", "uid": name}
        metadata |= self.objects.get(name, {}).get("metadata", {})
        metadata["resourceVersion"] = str(self.version)
        found: Json = {"metadata": metadata, "spec": spec, "status": status or {}}
        if kind == "DELETED":
            self.objects.pop(name, None)
        else:
            self.objects[name] = found
        self.changes.append((self.version, kind, found))
        self._wake()

    def disconnect(self) -> None:
        """Break off every watch."""
        self._breaking.set()
        self._breaking = asyncio.Event()
        self._wake()

    def lose(self) -> None:
        """Say nothing more in any watch, whose connections stay as they are."""
        self._losing.set()
        self._losing = asyncio.Event()
        self._wake()

    def _wake(self) -> None:
        self._new.set()
        self._new = asyncio.Event()

    async def echo(self, request: web.Request) -> web.StreamResponse:
        """A WebSocket that says what it hears."""
        if self._expired(request):
            return web.Response(status=401)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket

    def _expired(self, request: web.Request) -> bool:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        expired = bool(self.accepted) and token != self.accepted
        self.asked["expired"] += expired
        return expired

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self._expired(request):
            said = {"kind": "Status", "message": "Unauthorized", "code": 401}
            return web.json_response(said, status=401)
        if self.page:
            return web.Response(text=self.page, content_type="text/html")
        if self.forbidden:
            said = {"kind": "Status", "message": "pods is forbidden", "code": 403}
            return web.json_response(said, status=403)
        if request.query.get("watch") == "true":
            self.asked["watch"] += 1
            return await self._watch(request)
        self.asked["list"] += "continue" not in request.query
        at = int(request.query.get("continue") or 0)
        names = sorted(self.objects)
        page = names[at : at + int(request.query.get("limit", len(names)))]
        following = at + len(page)
        metadata = {"resourceVersion": str(self.version)}
        if following < len(names):
            metadata["continue"] = str(following)
        return web.json_response({"metadata": metadata, "items": [self.objects[n] for n in page]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        breaking, losing = self._breaking, self._losing
        begins = "resourceVersion" not in request.query
        seen = self.version if begins else int(request.query["resourceVersion"])
        if seen < self.forgotten:
            return web.json_response({"kind": "Status", "code": 410}, status=410)
        response = web.StreamResponse()
        await response.prepare(request)
        for found in list(self.objects.values()) if begins else ():
            line = json.dumps({"type": "ADDED", "object": found})
            await response.write(line.encode() + b"\n")
        while not breaking.is_set():
            if losing.is_set():
                await breaking.wait()
                break
            new = self._new
            for version, kind, found in self.changes:
                if version > seen:
                    seen = version
                    line = json.dumps({"type": kind, "object": found})
                    await response.write(line.encode() + b"\n")
            await new.wait()
        return response


class JobServer(ApiServer):
    """Serves the Jobs and pods of a namespace: each Job has one pod at once, which runs and has a log."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Json] = {}
        self.log: list[tuple[str, str]] = []
        """Time and text of each line."""
        self.words = ""
        """What the kubelet says of its own before."""
        self.away = ""
        """Why the kubelet does not answer; those who listen already are not told."""
        self.work: Path | None = None
        """Where commands that are run in a pod have their files."""
        self.one_by_one = False
        """Whether Jobs may be deleted by their names only."""
        self.refuses = ""
        """What stands against any pod."""
        self.meanwhile: Callable[[], None] = lambda: self.fail("DeadlineExceeded")
        """What happens while somebody would run a command in a pod."""

    def handlers(self) -> Iterable[tuple[str, Callable[..., Any]]]:
        jobs, pods = "/apis/batch/v1/namespaces/a/jobs", "/api/v1/namespaces/a/pods"
        return [
            (jobs, self.make),
            (f"{jobs}/{{name}}", self.job),
            (pods, self.all),
            (f"{pods}/{{name}}", self.pod),
            (f"{pods}/{{name}}/log", self.read),
            (f"{pods}/{{name}}/exec", self.execute),
        ]

    def say(self, time: str, text: str) -> None:
        self.log.append((time, text))
        self._wake()

    def fail(self, reason: str) -> None:
        """What a controller does with Jobs that it gives up: their pods are gone first."""
        for job in self.jobs.values():
            condition = {"type": "FailureTarget", "status": "True", "reason": reason}
            job["status"] = {"conditions": [condition]}
        for name in list(self.objects):
            self.put(name, "DELETED")

    async def make(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({"metadata": {}, "items": list(self.jobs.values())})
        if _deletes(request):
            self.asked["collection"] += 1
            if self.one_by_one:
                said = {"message": "jobs.batch is forbidden: User cannot deletecollection"}
                return web.json_response(said, status=403)
            self.jobs.clear()
            return web.json_response({})
        job: Json = await request.json()
        name = job["metadata"]["name"]
        if name in self.jobs:
            self.asked["there"] += 1
            return web.json_response({"reason": "AlreadyExists", "code": 409}, status=409)
        self.asked["job"] += 1
        self.jobs[name] = job
        job["metadata"]["uid"] = f"{name}-{self.asked['job']}"
        if not self.refuses:
            self.bear(job)
        return web.json_response(job)

    def bear(self, job: Json) -> None:
        """Make a Job's pod."""
        name = f"{job['metadata']['name']}-x"
        owner = {"kind": "Job", "uid": job["metadata"]["uid"]}
        self.objects[name] = {"metadata": {"ownerReferences": [owner]}}
        status = {"phase": "Running", "startTime": "2026-11-24T12:00:00Z"}
        self.put(name, "ADDED", status, nodeName="n", containers=[{"name": "job"}])

    async def job(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return _one(self.jobs.pop(name, None) if _deletes(request) else self.jobs.get(name))

    async def all(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            self.asked["tried"] += 1
            if not self.refuses:
                return web.json_response({})
            status = 400 if "dry run" in self.refuses else 403
            return web.json_response({"message": self.refuses, "code": status}, status=status)
        return await self.answer(request)

    async def pod(self, request: web.Request) -> web.Response:
        found = self.objects.get(name := request.match_info["name"])
        if found is not None and _deletes(request):
            self.put(name, "DELETED")
        return _one(found)

    async def read(self, request: web.Request) -> web.StreamResponse:
        if self.away:
            return web.json_response({"message": self.away}, status=500)
        self.asked["tail" if "tailLines" in request.query else "log"] += 1
        response = web.StreamResponse()
        if "tailLines" in request.query:
            await response.prepare(request)
            return response
        await response.prepare(request)
        if self.words:
            await response.write(f"{self.words}\n".encode())
        lines, breaking, at = self.log, self._breaking, 0
        while not breaking.is_set():
            new = self._new
            for time, text in lines[at:]:
                at += 1
                if time[:19] >= request.query.get("sinceTime", "")[:19]:  # whole seconds
                    stamp = f"{time} " if request.query.get("timestamps") else ""
                    await response.write(f"{stamp}{text}\n".encode())
            status = self.objects.get(request.match_info["name"], {}).get("status", {})
            if status.get("phase") != "Running":
                break
            await new.wait()
        return response

    async def execute(self, request: web.Request) -> web.StreamResponse:
        """Run the command on this machine, with ``work`` for its files.

        Without that nothing runs there: a Job that waits for its files takes longer than it may.
        """
        if self.work is None:
            self.meanwhile()
            return web.Response(status=404)
        self.asked["exec"] += 1
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *request.query.getall("command")[1:]),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "SECXOPS_WORK": str(self.work)},
        )
        assert process.stdin is not None and process.stdout is not None

        async def give(stdin: asyncio.StreamWriter) -> None:
            async for message in socket:
                stdin.write(message.data[1:])

        giving = asyncio.ensure_future(give(process.stdin))
        while chunk := await process.stdout.read(1 << 16):
            await socket.send_bytes(b"\1" + chunk)
        status = "Failure" if await process.wait() else "Success"
        await socket.send_bytes(b"\3" + json.dumps({"status": status}).encode())
        await socket.close()
        giving.cancel()
        return socket


def _deletes(request: web.Request) -> bool:
    return request.method == "DELETE"


def _one(found: Json | None) -> web.Response:
    return web.json_response(found or {}, status=200 if found else 404)


@asynccontextmanager
async def serving(
    folder: Path,
    handlers: Iterable[tuple[str, Callable[..., Any]]],
    user: Mapping[str, Any] | None = None,
) -> AsyncIterator[Connection]:
    """Serve on loopback, and yield a connection by a kubeconfig of its own, as ``user``."""
    application = web.Application()
    for path, handler in handlers:
        application.router.add_route("*", path, handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": user or {"token": "secret"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    connection = Connection(str(path))
    try:
        yield connection
    finally:
        await connection.close()
        await runner.cleanup()
