"""Asking a pod's JupyterLab through the API server, whatever answers there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from jupyter_secxops_migrate.engines.health import STATUS, Answer, complete, read
from jupyter_secxops_migrate.engines.kubernetes import connection as module

from .apiserver import serving

PORT = 8888
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://thief/\r\nContent-Length: 0\r\n\r\n"
Serve = Callable[[web.WebSocketResponse], Awaitable[None]]


def asked(folder: Path, serve: Serve) -> tuple[Answer | None, list[bytes]]:
    """Return what a pod answers whose kubelet forwards what ``serve`` says, and what came there."""
    sent: list[bytes] = []

    async def forward(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        for channel in (0, 1):
            await socket.send_bytes(bytes([channel]) + PORT.to_bytes(2, "little"))
        sent.append((await socket.receive_bytes())[1:])
        await serve(socket)
        return socket

    async def go() -> Answer | None:
        path = "/api/v1/namespaces/a/pods/p/portforward"
        async with serving(folder, [(path, forward)]) as api:
            return await api.ask("a", "p", PORT, STATUS, "s3cr3t")

    return asyncio.run(go()), sent


def test_an_answer_may_come_in_any_pieces(tmp_path: Path) -> None:
    async def bytewise(socket: web.WebSocketResponse) -> None:
        for byte in b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"kernels": 0}':
            await socket.send_bytes(bytes([0, byte]))

    found, sent = asked(tmp_path, bytewise)

    assert found is not None and (found.status, found.said) == (200, {"kernels": 0})
    assert sent[0].startswith(b"GET /api/status HTTP/1.0\r\nHost: 127.0.0.1:8888\r\n")


def test_a_redirect_is_an_answer_and_no_way_to_go(tmp_path: Path) -> None:
    async def redirect(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\0" + REDIRECT)

    found, sent = asked(tmp_path, redirect)

    assert found is not None and found.status == 302
    assert len(sent) == 1


def test_a_kubelet_that_can_not_connect_gives_no_answer(tmp_path: Path) -> None:
    async def refused(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\1connection refused")

    assert asked(tmp_path, refused)[0] is None


def test_one_that_answers_slowly_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 1)

    async def slow(socket: web.WebSocketResponse) -> None:
        for byte in REDIRECT[:20] + b"x" * 60:
            await socket.send_bytes(bytes([0, byte]))
            await asyncio.sleep(0.25)

    began = time.monotonic()

    assert asked(tmp_path, slow)[0] == Answer()
    assert time.monotonic() - began < 10  # all of it takes twice as long


def test_an_endless_answer_is_none() -> None:
    flood = b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 70_000

    assert complete(flood)
    assert read(flood) == Answer()
