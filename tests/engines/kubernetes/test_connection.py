"""A connection outlives its credentials."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_secxops_migrate.engines.kubernetes.connection import Connection
from jupyter_secxops_migrate.engines.kubernetes.errors import ClusterForbidden, ClusterUnavailable

from .apiserver import ApiServer, serving

PATH, SOCKET = "/api/v1/pods", "/api/v1/socket"
Scene = Callable[[ApiServer, Connection], Awaitable[None]]
# Prints a new token each time, token-1 first, or a new certificate where there is one; nothing once it
# is to fail.
PLUGIN = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
with (folder / "runs").open("a") as runs:
    runs.write("x")
if (folder / "failing").exists():
    sys.exit("the sign-in service is away")
number = len((folder / "runs").read_text())
status = {"token": f"token-{number}"}
if (certificate := folder / f"{number}.crt").exists():
    key = certificate.with_suffix(".key").read_text()
    status = {"clientCertificateData": certificate.read_text(), "clientKeyData": key}
version = "client.authentication.k8s.io/v1"
print(json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status}))
"""


def play(folder: Path, scene: Scene) -> None:
    plugin = folder / "plugin.py"
    plugin.write_text(PLUGIN)
    command = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(plugin), str(folder)],
    }

    async def go() -> None:
        server = ApiServer()
        server.accepted = "token-1"
        server.put("one")
        handlers = [(PATH, server.answer), (SOCKET, server.echo)]
        async with serving(folder, handlers, {"exec": command}) as connection:
            try:
                await asyncio.wait_for(scene(server, connection), 20)
            finally:
                server.disconnect()

    asyncio.run(go())


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text())


def test_an_expired_token_costs_one_sign_in_however_many_notice(tmp_path: Path) -> None:
    async def scene(server: ApiServer, connection: Connection) -> None:
        assert len(await connection.list(PATH)) == 1
        assert runs(tmp_path) == 1

        server.accepted = "token-2"
        found = await asyncio.gather(*(connection.list(PATH) for _ in range(20)))
        assert [len(pods) for pods in found] == [1] * 20
        assert server.asked["expired"] > 1
        assert runs(tmp_path) == 2

    play(tmp_path, scene)


def test_what_is_open_stays_open_while_another_request_signs_in_anew(tmp_path: Path) -> None:
    async def scene(server: ApiServer, connection: Connection) -> None:
        changes = connection.watch(PATH, str(server.version))
        waiting = asyncio.ensure_future(anext(changes))
        while not server.asked["watch"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

        server.accepted = "token-2"
        await connection.list(PATH)
        server.put("two")
        kind, found = await waiting
        assert (kind, found["metadata"]["name"]) == ("MODIFIED", "two")
        assert server.asked["watch"] == 1
        await changes.aclose()

    play(tmp_path, scene)


def test_a_socket_signs_in_anew_too(tmp_path: Path) -> None:
    async def scene(server: ApiServer, connection: Connection) -> None:
        await connection.list(PATH)
        server.accepted = "token-2"
        socket = await connection.socket(SOCKET, "v4.channel.k8s.io")
        await socket.send_bytes(b"hello")
        assert await socket.receive_bytes() == b"hello"
        await socket.close()
        assert runs(tmp_path) == 2

        server.accepted = "nobody's"
        with pytest.raises(ClusterForbidden):
            await connection.socket(SOCKET, "v4.channel.k8s.io")
        assert runs(tmp_path) == 3

    play(tmp_path, scene)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates")
def test_a_new_certificate_gets_connections_of_its_own(tmp_path: Path) -> None:
    for number in (1, 2):
        made = tmp_path / f"{number}.crt"
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        files = ("-out", made, "-keyout", made.with_suffix(".key"))
        words = ["openssl", "req", "-x509", "-subj", "/CN=me", *key, *files]
        subprocess.run(words, check=True, capture_output=True)
    shutil.copy(tmp_path / "2.crt", tmp_path / "3.crt")
    shutil.copy(tmp_path / "2.key", tmp_path / "3.key")

    async def scene(server: ApiServer, connection: Connection) -> None:
        server.accepted = ""
        first = await connection.open()
        changes = connection.watch(PATH, str(server.version))
        waiting = asyncio.ensure_future(anext(changes))
        while not server.asked["watch"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

        server.accepted = "nobody's"
        with pytest.raises(ClusterForbidden):
            await connection.list(PATH)
        second = await connection.open()
        assert second is not first
        with pytest.raises(ClusterForbidden):
            await connection.list(PATH)
        assert await connection.open() is second  # it was given the same once more

        server.put("two")
        kind, _ = await waiting
        assert kind == "MODIFIED"
        await changes.aclose()

    play(tmp_path, scene)


def test_who_is_refused_with_a_new_token_too_is_told_so(tmp_path: Path) -> None:
    async def scene(server: ApiServer, connection: Connection) -> None:
        server.accepted = "nobody's"
        with pytest.raises(ClusterForbidden, match="Unauthorized"):
            await connection.list(PATH)
        assert runs(tmp_path) == 2

    play(tmp_path, scene)


def test_a_plugin_that_fails_for_a_while_is_an_outage_and_no_lack_of_rights(tmp_path: Path) -> None:
    async def scene(server: ApiServer, connection: Connection) -> None:
        failing = tmp_path / "failing"
        failing.touch()
        with pytest.raises(ClusterUnavailable, match="no credentials"):
            await connection.list(PATH)
        failing.unlink()
        server.accepted = "token-2"
        await connection.list(PATH)

        server.accepted = "token-4"
        failing.touch()
        with pytest.raises(ClusterUnavailable, match="no credentials"):
            await connection.list(PATH)
        failing.unlink()
        assert len(await connection.list(PATH)) == 1

    play(tmp_path, scene)


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "kubeconfig"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def test_another_current_context_is_not_changed_to_midway(tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        other = {"name": "other", "context": {"cluster": "here", "user": "other"}}
        config["contexts"].append(other)
        config["users"].append({"name": "other", "user": {"token": "others"}})
        config["current-context"] = "other"

    async def scene(server: ApiServer, connection: Connection) -> None:
        await connection.list(PATH)
        edit(tmp_path, change)
        server.accepted = "token-2"
        assert len(await connection.list(PATH)) == 1

    play(tmp_path, scene)


def test_credentials_of_another_api_server_are_not_sent_to_this_one(tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"

    async def scene(server: ApiServer, connection: Connection) -> None:
        await connection.list(PATH)
        edit(tmp_path, change)
        server.accepted = "token-2"
        with pytest.raises(ClusterForbidden):
            await connection.list(PATH)

    play(tmp_path, scene)
