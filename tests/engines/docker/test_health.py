"""Who counts as a JupyterLab that goes by its own token, and what asking costs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import PurePosixPath

import pytest

from jupyter_secxops_migrate.engines.docker.health import (
    Address,
    address_of,
    answers,
    insists_on_token,
)
from jupyter_secxops_migrate.engines.health import elsewhere, launch_failed
from jupyter_secxops_migrate.engines.orders import ImageProbe, LaunchOrder

TOKEN = "s3cr3t"
STATUS = {"started": "t", "last_activity": "t", "connections": 0, "kernels": 0}
Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def http(status: str, body: object = None, *headers: str) -> bytes:
    text = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(text)}", "", ""]
    return "\r\n".join(lines).encode() + text


async def jupyter(request: bytes, writer: asyncio.StreamWriter) -> None:
    """What a Jupyter server does."""
    path = request.split()[1]
    if path == b"/api":
        writer.write(http("200 OK", {"version": "2.20.0"}))
    elif f"Authorization: token {TOKEN}".encode() in request:
        writer.write(http("200 OK", STATUS))
    else:
        writer.write(http("403 Forbidden", {"message": "Forbidden"}))


async def easy(request: bytes, writer: asyncio.StreamWriter) -> None:
    """Answers everything with all that is asked for."""
    writer.write(http("200 OK", {"version": "2.20.0", **STATUS}))


async def a_page(request: bytes, writer: asyncio.StreamWriter) -> None:
    refused = b"status" in request and TOKEN.encode() not in request
    writer.write(http("403 Forbidden" if refused else "200 OK", "<html>Welcome</html>"))


async def slow(request: bytes, writer: asyncio.StreamWriter) -> None:
    for byte in http("200 OK", {"version": "2.20.0"}):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.5)


async def endless(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


def asked(serve: Serve, question: Callable[[Address], Awaitable[bool]]) -> tuple[bool, list[bytes]]:
    """Return what is found out about a server, and what it was sent."""
    sent: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            sent.append(request)
            await serve(request, writer)

    async def go() -> bool:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            return await question(server.sockets[0].getsockname())

    return asyncio.run(go()), sent


def test_a_jupyter_server_is_known_by_its_answers() -> None:
    assert asked(jupyter, answers)[0]
    assert asked(jupyter, lambda address: insists_on_token(address, TOKEN))[0]
    assert not asked(jupyter, lambda address: insists_on_token(address, "another"))[0]


@pytest.mark.parametrize("other", [easy, a_page])
def test_what_answers_everything_is_none(other: Serve) -> None:
    assert not asked(other, lambda address: insists_on_token(address, TOKEN))[0]


def test_a_page_is_no_jupyter_server() -> None:
    assert not asked(a_page, answers)[0]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect"])
def test_no_redirect_is_followed_with_the_token(status: str) -> None:
    stolen: list[bytes] = []

    async def thief(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        stolen.append(request)
        await jupyter(request, writer)
        writer.close()

    async def question(address: Address) -> bool:
        async with await asyncio.start_server(thief, "127.0.0.1", 0) as there:
            port = there.sockets[0].getsockname()[1]
            place.append(f"Location: http://127.0.0.1:{port}/api/status")
            return await answers(address) or await insists_on_token(address, TOKEN)

    place: list[str] = []

    async def elsewhere(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http(status, None, *place))

    found, _ = asked(elsewhere, question)

    assert not found
    assert stolen == []


@pytest.mark.parametrize("other", [slow, endless])
def test_a_slow_or_endless_answer_costs_two_seconds_and_no_thread(other: Serve) -> None:
    async def many(address: Address) -> bool:
        return any(await asyncio.gather(*(answers(address) for _ in range(50))))

    began = time.monotonic()

    assert not asked(other, many)[0]
    # One after the other, or to the end of the answer, it would be more than a minute.
    assert time.monotonic() - began < 20


def test_nobody_is_asked_but_at_the_published_port() -> None:
    container = {
        "NetworkSettings": {
            "Ports": {"8888/tcp": [{"HostIp": "127.0.0.1", "HostPort": "40123"}]},
            "Networks": {"bridge": {"IPAddress": "172.17.0.2"}},
        }
    }

    assert address_of(container, neighbour=False) == ("127.0.0.1", 40123)
    assert address_of(container, neighbour=True) == ("172.17.0.2", 8888)
    assert address_of({"NetworkSettings": {"Ports": None}}, neighbour=False) is None


RUNNING = "[I 2026 ServerApp] Jupyter Server 2.20.0 is running at:\n"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("http://lab:8888/lab?token=...\n    http://127.0.0.1:8888/lab?token=...", ""),
        ("http://lab:8888/", ""),
        ("http://[::1]:8888/tree", ""),
        ("http://lab:8888/user/anne/lab?token=...", "base_url (/user/anne/)"),
        ("https://lab:8888/lab", "certfile"),
        ("https://lab:8888/x/lab", "base_url (/x/) and certfile"),
    ],
)
def test_an_image_that_has_jupyterlab_elsewhere_is_told_by_its_log(said: str, why: str) -> None:
    found = elsewhere(f"http://other/x/\n{RUNNING}[I 2026 ServerApp] {said}\nUse Control-C\n")
    assert found.endswith(f"sets {why}") if why else found == ""


def test_the_log_of_a_jupyterlab_that_failed_holds_no_token() -> None:
    order = LaunchOrder(
        "m1",
        "anne",
        "lab",
        "sha256:0",
        "lab",
        ImageProbe(1, 1, PurePosixPath("/"), PurePosixPath("/"), None),
        (),
        "/",
        TOKEN,
    )
    log = f"one {TOKEN}\nhttp://lab/lab?token=easy&x=1\n[W] 404 GET /api (127.0.0.1) 1ms\nlast\n"
    error = launch_failed(order, log, "it ended")
    assert error.said == ["one …", "http://lab/lab?token=…&x=1", "last"]
    assert error.message == "The environment did not start: it ended."
