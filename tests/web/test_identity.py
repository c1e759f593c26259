"""Who is let in at a Unix socket."""

from __future__ import annotations

import asyncio
import os
import pwd
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tornado.netutil import bind_sockets, bind_unix_socket

from jupyter_secxops_migrate.web.application import ServiceApplication, serve_application
from jupyter_secxops_migrate.web.identity import PeerIdentity

from .memory import MemoryService

CLIENT = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
with socket.socket(socket.AF_UNIX) as peer:
    peer.connect(sys.argv[1])
    peer.sendall(b"GET /secxops/api/v1/migrations HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    print(peer.recv(100).split()[1].decode())
"""


def at_socket(folder: Path, ask: str) -> str:
    """Run the service at a socket that everybody may open; return what a client says."""
    where = folder / "s"

    async def run() -> str:
        service = MemoryService()
        server = serve_application(ServiceApplication(service, PeerIdentity()))
        listening = bind_unix_socket(str(where), mode=0o666)
        server.add_socket(listening)
        try:
            if ask == "self":
                async with httpx.AsyncClient(
                    transport=httpx.AsyncHTTPTransport(uds=str(where)), trust_env=False
                ) as client:
                    response = await client.post(
                        "http://x/secxops/api/v1/migrations", json={"project": "/p"}
                    )
                    return str(response.json()["owner"])
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-c", CLIENT, str(where)],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            )
            return done.stdout.strip()
        finally:
            server.stop()
            await server.close_all_connections()
            await service.close()

    return asyncio.run(run())


def test_this_account_is_known_by_its_name(tmp_path: Path) -> None:
    assert at_socket(tmp_path, "self") == pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another account")
def test_another_account_is_nobody_though_it_reaches_the_socket(tmp_path: Path) -> None:
    for folder in [tmp_path, *tmp_path.parents]:
        if (
            folder.stat().st_uid == os.geteuid()
            and folder.is_relative_to("/tmp")
            and folder != Path("/tmp")
        ):
            folder.chmod(0o755)
    assert at_socket(tmp_path, "other") == "401"


def test_over_tcp_nobody_is_a_peer() -> None:
    async def run() -> int:
        server = serve_application(ServiceApplication(MemoryService(), PeerIdentity()))
        [listening] = bind_sockets(0, "127.0.0.1")
        server.add_socket(listening)
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                port = listening.getsockname()[1]
                return (
                    await client.get(f"http://127.0.0.1:{port}/secxops/api/v1/doctor")
                ).status_code
        finally:
            server.stop()
            await server.close_all_connections()

    assert asyncio.run(run()) == 401
