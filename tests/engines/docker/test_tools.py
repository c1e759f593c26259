"""Whether there can be an image to copy with is known before the build."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.docker import DockerEngine
from jupyter_secxops_migrate.engines.orders import SourcePlace, TrialOrder

ORDER = TrialOrder("anne", "p", SourcePlace("bind", "/p"), "r", 1, 2**30)
BASE = "python:3.12-slim"


class Docker(socketserver.ThreadingUnixStreamServer):
    """An engine that has images, and tells what a registry says of others."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Requests)
        self.endpoint = f"unix://{path}"
        self.has: set[str] = set()
        self.says: tuple[int, str] = (200, "")
        self.speaks = threading.Event()
        self.speaks.set()
        self.asked = 0


class Requests(BaseHTTPRequestHandler):
    server: Docker

    def do_GET(self) -> None:
        what = self.path.partition("?")[0]
        if what.endswith("/version"):
            return self.answer(200, {"ApiVersion": "1.41", "Version": "24"})
        name = what.rpartition("/json")[0].partition("/images/")[2]
        if name:
            image = {"Id": "sha256:1", "Size": 1}
            found = name in self.server.has
            return self.answer(200 if found else 404, image if found else {"message": "none"})
        self.server.asked += 1
        self.server.speaks.wait(60)
        status, message = self.server.says
        return self.answer(status, {"message": message})

    def answer(self, status: int, said: object) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "here"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[Docker]:
    with Docker(tmp_path / "docker.sock") as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def refusals(docker: Docker, times: int = 1, **settings: str) -> list[errors.SecxopsError]:
    async def go() -> list[errors.SecxopsError]:
        engine = DockerEngine(endpoint=docker.endpoint, **{"tools_base": BASE, **settings})
        try:
            for _ in range(times):
                found = list(await engine.try_out(ORDER))
            return found
        finally:
            await engine.close()

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "dial tcp: lookup registry-1.docker.io: no such host"),
        (404, "manifest unknown"),
        (403, "denied: requested access to the resource is denied"),
    ],
)
def test_a_base_that_can_not_be_pulled_is_refused(
    docker: Docker, status: int, message: str
) -> None:
    docker.says = (status, message)
    [error] = refusals(docker, times=3)
    assert error.code == "tools_image_missing"
    assert BASE in error.message and message in error.message
    assert "DockerEngine.tools_base" in error.hint
    assert docker.asked == 1, "it is remembered for a while"


def test_what_is_there_or_can_be_pulled_is_not_refused(docker: Docker) -> None:
    assert refusals(docker) == []
    docker.says = (500, "no")
    docker.has = {BASE}
    assert refusals(docker) == []
    docker.has = {"ours:1"}
    assert refusals(docker, tools_image="ours:1") == []
    assert docker.asked == 1


def test_a_ready_image_is_not_pulled(docker: Docker) -> None:
    [error] = refusals(docker, tools_image="ours:1")
    assert "ours:1 is not on this engine" in error.message


@pytest.mark.parametrize("silent", [True, False])
def test_who_says_nothing_refuses_nothing(docker: Docker, silent: bool) -> None:
    if silent:
        docker.speaks.clear()
    docker.says = (404, "Not Found")  # an engine that can't be asked
    assert refusals(docker, times=2) == []
    assert docker.asked == 1
    docker.speaks.set()


def test_doctor_says_the_same(docker: Docker) -> None:
    docker.says = (500, "no such host")

    async def go() -> dict[str, str]:
        engine = DockerEngine(endpoint=docker.endpoint, tools_base=BASE)
        try:
            return {check.name: check.state for check in await engine.doctor()}
        finally:
            await engine.close()

    assert asyncio.run(go())["tools image"] == "failed"
