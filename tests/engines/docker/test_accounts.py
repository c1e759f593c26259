"""Credential helpers are asked as the docker program asks them; one that is broken ends nothing."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.docker import DockerEngine, accounts
from jupyter_secxops_migrate.engines.docker.connection import Connection
from jupyter_secxops_migrate.engines.orders import BuildOrder, SourcePlace, TrialOrder

HOST = "r.example.org"


class Engine(ThreadingHTTPServer):
    """An engine of Docker's API that keeps the accounts that it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.told: list[Mapping[str, Any]] = []
        self.endpoint = f"tcp://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        assert isinstance(self.server, Engine)
        for name in ("X-Registry-Auth", "X-Registry-Config"):
            if name in self.headers:
                said = json.loads(base64.urlsafe_b64decode(self.headers[name]))
                self.server.told.append(said)
        about = {
            "Version": "20.10.24",
            "ApiVersion": "1.41",
            "message": "",
            "Id": "sha256:1",
            "Size": 1,
        }
        body = json.dumps(about).encode()
        self.send_response(404 if "/images/base" in self.path else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while int(self.rfile.readline(), 16):
                self.rfile.readline()
                self.rfile.readline()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for programs, on the path, and one for Docker's configuration."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def program(machine: Path, name: str, script: str) -> None:
    path = machine / "bin" / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def configure(machine: Path, **config: Any) -> None:
    (machine / "config.json").write_text(json.dumps(config))


def account(user: str, secret: str) -> str:
    return json.dumps({"ServerURL": HOST, "Username": user, "Secret": secret})


def pulled(engine: Engine) -> list[Mapping[str, Any]]:
    """What the engine is told of accounts when an image is pulled."""

    async def pull() -> None:
        connection = Connection(engine.endpoint)
        try:
            await connection.call("pull", lambda api: api.pull(f"{HOST}/a", tag="1"))
        finally:
            connection.close()

    asyncio.run(pull())
    return engine.told


@pytest.mark.parametrize("config", [{"credHelpers": {HOST: "own"}}, {"credsStore": "own"}])
def test_a_helper_is_asked_for_the_registry(
    machine: Path, engine: Engine, config: dict[str, Any]
) -> None:
    program(machine, "own", f"echo \"$@ $(cat)\" > {machine}/asked; echo '{account('me', 'x')}'")
    configure(machine, **config)

    (told,) = pulled(engine)

    assert (told["Username"], told["Password"]) == ("me", "x")
    assert (machine / "asked").read_text() == f"get {HOST}\n"


def test_an_identity_token_of_a_helper_is_handed_on(machine: Path, engine: Engine) -> None:
    program(machine, "own", f"echo '{account('<token>', 'eyJ')}'")
    configure(machine, credsStore="own")

    (told,) = pulled(engine)

    assert told["IdentityToken"] == "eyJ" and "Password" not in told


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo a-password; exit 3", True),
        ("echo credentials not found in native keychain; exit 1", False),
        ("echo nonsense", True),
        ("echo '[]'", True),
        ("yes a-password", True),
        ("sleep 3600", True),
    ],
)
def test_without_the_help_of_a_broken_one_it_goes_on(
    machine: Path,
    engine: Engine,
    script: str,
    said: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accounts, "SECONDS", 0.5)
    program(machine, "own", script)
    auth = base64.b64encode(b"from:file").decode()
    configure(machine, credHelpers={HOST: "own"}, auths={HOST: {"auth": auth}})

    began = time.monotonic()
    (told,) = pulled(engine)

    assert time.monotonic() - began < 20
    assert told["username"] == "from", "as docker does, the file comes after the helper"
    warned = [it.getMessage() for it in caplog.records if it.levelno == logging.WARNING]
    assert bool([it for it in warned if "docker-credential-own" in it]) == said
    assert "a-password" not in caplog.text


@pytest.mark.parametrize("name", ["gone", "../own", "", "a b", "own;true"])
def test_a_helper_that_is_not_there_is_named_by_the_doctor(
    machine: Path, engine: Engine, name: str
) -> None:
    program(machine, "own", f"touch {machine}/ran")
    configure(machine, credHelpers={HOST: name})

    assert pulled(engine) == []

    async def doctor() -> list[str]:
        found = DockerEngine(endpoint=engine.endpoint, tools_base="base")
        try:
            checks = await found.doctor()
        finally:
            await found.close()
        return [it.message for it in checks if (it.name, it.state) == ("accounts", "warning")]

    assert not (machine / "ran").exists()
    assert len(asyncio.run(doctor())) == (1 if name else 0)


def test_a_build_goes_on_without_them(machine: Path, engine: Engine) -> None:
    configure(machine, credsStore="gone", credHelpers={HOST: "own"})
    program(machine, "own", f"echo '{account('me', 'x')}'")

    async def build() -> None:
        connection = Connection(engine.endpoint)

        def send(api: docker.APIClient) -> None:
            list(api.build(fileobj=io.BytesIO(b""), custom_context=True))

        try:
            await connection.call("build", send)
        finally:
            connection.close()

    asyncio.run(build())

    assert engine.told[0][HOST]["Password"] == "x"


def asked(engine: Engine) -> tuple[list[str], list[str], errors.SecxopsError | None]:
    """What the plan's trial and the doctor say of accounts, and how a build ends."""
    order = BuildOrder("mabc", lambda: iter((b"",)), "Dockerfile", "p", "1", lambda: "", {})
    trial = TrialOrder("me", "n", SourcePlace("bind", "/p"), "p", 1.0, 1, 0, {})

    async def ask() -> tuple[list[str], list[str], errors.SecxopsError | None]:
        found = DockerEngine(endpoint=engine.endpoint, tools_base="base")
        ended = None
        try:
            try:
                tried = await found.try_out(trial)
            except errors.SecxopsError as error:
                tried = [error]
            try:
                async for _ in found.build(order):
                    pass
            except errors.SecxopsError as error:
                ended = error
            checks = await found.doctor()
        finally:
            await found.close()
        return (
            [it.message for it in tried],
            [it.message for it in checks if it.state == "failed"],
            ended,
        )

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "content",
    [
        '{"auths": {"secret',
        '["secret"]',
        '{"auths": "secret"}',
        '{"auths": {"h": "secret"}}',
        '{"auths": {"h": {"auth": "secret!"}}}',
        '{"credHelpers": ["secret"]}',
        "{" * 100_000,
    ],
)
def test_a_malformed_configuration_is_named_by_plan_build_and_doctor(
    machine: Path, engine: Engine, content: str
) -> None:
    (machine / "config.json").write_text(content)

    tried, doctor, ended = asked(engine)

    assert ended is not None and ended.code == "docker_config_unusable"
    for said in (*tried, *doctor, ended.message):
        assert str(machine / "config.json") in said
        assert "secret" not in said
    assert tried and doctor
    assert engine.told == []


@pytest.mark.parametrize("content", [None, "", "{}", '{"auths": {}}', '{"auths": {"h": {}}}'])
def test_without_accounts_nothing_is_wrong(
    machine: Path, engine: Engine, content: str | None
) -> None:
    if content is not None:
        (machine / "config.json").write_text(content)

    tried, doctor, ended = asked(engine)

    assert (tried, doctor) == ([], [])
    assert ended is None or "config.json" not in ended.message
