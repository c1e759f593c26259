"""What answers Docker's API is named: Docker, or Podman."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from jupyter_secxops_migrate.engines.docker import DockerEngine

# As they say it of themselves, shortened.
DOCKER = {"Version": "20.10.24", "Components": [{"Name": "Engine", "Version": "20.10.24"}]}
PODMAN = {
    "Version": "4.3.1",
    "Components": [
        {"Name": "Podman Engine", "Version": "4.3.1"},
        {"Name": "Conmon", "Version": "conmon version 2.1.6, commit: unknown"},
    ],
}
NEITHER = {"Version": "1.0", "Components": None}


@contextmanager
def answering(version: Mapping[str, Any]) -> Iterator[str]:
    """An engine of Docker's API that says its version and has no images."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.endswith("/version")
            body = json.dumps({**version, "ApiVersion": "1.41"} if known else {"message": "no"})
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def checks(endpoint: str) -> Sequence[tuple[str, str, str]]:
    async def ask() -> Sequence[tuple[str, str, str]]:
        engine = DockerEngine(endpoint=endpoint)
        try:
            return [(it.name, it.state, it.message) for it in await engine.doctor()]
        finally:
            await engine.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (DOCKER, "Docker 20.10.24 answers."),
        (PODMAN, "Podman 4.3.1 answers."),
        (NEITHER, "Docker 1.0 answers."),
    ],
)
def test_doctor_names_what_answers(version: Mapping[str, Any], said: str) -> None:
    with answering(version) as endpoint:
        assert ("engine", "ok", said) in checks(endpoint)
