"""The server extension in a real Jupyter server, before a real service on its socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.auth.authorizer import Authorizer
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from web.contract import operations
from web.memory import TOKEN
from web.service import TESTS, command, end, started, wait_until

from jupyter_secxops_migrate.errors import NoSuchPath
from jupyter_secxops_migrate.runtime import Runtime
from jupyter_secxops_migrate.serverapp import absolute, with_absolute_paths
from jupyter_secxops_migrate.web.routes import table

pytest_plugins = ["pytest_jupyter.jupyter_server"]

Fetch = Callable[..., Awaitable[HTTPResponse]]
ERROR = {"code", "message", "hint", "params"}
OPERATIONS = list(operations())
PREFIX = ("secxops", "api", "v1")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setenv("SECXOPS_DATA_DIR", str(tmp_path / "secxops"))
    found = Runtime.find()
    yield found
    end(found)


class Reader(Authorizer):
    """Lets everybody read environments, and nothing else."""

    asked: list[tuple[str, str]]

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        self.asked.append((action, resource))
        return action == "read"


@pytest.fixture
def jp_server_config(runtime: Runtime) -> dict[str, Any]:
    return {
        "ServerApp": {"jpserver_extensions": {"jupyter_secxops_migrate": True}},
        "SecxopsExtension": {"service_command": list(command())},
    }


@pytest.fixture
def fetch(jp_fetch: Fetch) -> Fetch:
    """Ask below ``secxops/api/v1``; an error's answer is an answer."""

    async def ask(path: str, **options: Any) -> HTTPResponse:
        parts = [*PREFIX, *path.split("/")] if path else list(PREFIX)
        if options.get("method") in ("POST", "PUT", "PATCH"):
            options.setdefault("body", "{}")
        return await answer(jp_fetch(*parts, **options))

    return ask


async def answer(asked: Awaitable[HTTPResponse]) -> HTTPResponse:
    try:
        return await asked
    except HTTPClientError as error:
        assert error.response is not None
        return error.response


def body_of(response: HTTPResponse) -> Any:
    return json.loads(response.body)


async def share(fetch: Fetch, **fields: object) -> Any:
    response = await fetch(
        "migrations",
        method="POST",
        body=json.dumps({"project": "p", **fields}),
        headers={"Content-Type": "application/json"},
    )
    assert response.code == 202, response.body
    return body_of(response)


# --------------------------------------------------------------------------- who may


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_without_token_nothing_is_answered(
    fetch: Fetch, runtime: Runtime, method: str, path: str
) -> None:
    response = await fetch(
        path.format(id="m1"),
        method=method,
        headers={"Authorization": "", "Content-Type": "application/json"},
    )
    assert response.code in (401, 403)
    assert set(body_of(response)) == ERROR
    # It was not even asked.
    assert runtime.listener() is None


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "PATCH"])
@pytest.mark.parametrize("path", ["", "nope", "migrations/m1/explode"])
async def test_an_unknown_address_asks_for_the_token_first(
    fetch: Fetch, method: str, path: str
) -> None:
    stranger = await fetch(path, method=method, headers={"Authorization": ""})
    assert stranger.code in (401, 403)
    known = await fetch(path, method=method)
    assert known.code == 404
    assert body_of(known)["code"] == "no_such_route"


async def test_every_route_names_its_action_and_resource(
    fetch: Fetch, jp_serverapp: Any, jp_web_app: Any
) -> None:
    reader = Reader(parent=jp_serverapp, identity_provider=jp_serverapp.identity_provider)
    jp_web_app.settings["authorizer"] = reader
    for method, path in OPERATIONS:
        if path in ("events", "plans") or method == "GET":
            continue
        reader.asked = []
        response = await fetch(path.format(id="m1"), method=method)
        assert response.code == 403, (method, path)
        assert body_of(response)["code"] == "forbidden"
        assert [resource for _, resource in reader.asked] == ["secxops"]
    reader.asked = []
    assert (await fetch("doctor")).code == 200
    assert reader.asked == [("read", "secxops")]


async def test_another_site_cant_post_with_the_cookie(
    fetch: Fetch, jp_serverapp: Any, http_server_port: Any, jp_base_url: str
) -> None:
    url = f"http://127.0.0.1:{http_server_port[1]}{jp_base_url}"
    login = await AsyncHTTPClient().fetch(
        f"{url}lab?token={jp_serverapp.identity_provider.token}",
        follow_redirects=False,
        raise_error=False,
    )
    cookies = "; ".join(c.split(";")[0] for c in login.headers.get_list("Set-Cookie"))
    assert "username" in cookies
    headers = {"Cookie": cookies, "Content-Type": "application/json"}
    read = await AsyncHTTPClient().fetch(f"{url}secxops/api/v1/migrations", headers=headers)
    assert read.code == 200
    forged = await AsyncHTTPClient().fetch(
        f"{url}secxops/api/v1/migrations",
        method="POST",
        body='{"project": "/p"}',
        headers=headers,
        raise_error=False,
    )
    assert forged.code == 403
    assert set(body_of(forged)) == ERROR


# --------------------------------------------------------------------------- what is asked


async def test_a_huge_body_is_413(fetch: Fetch, runtime: Runtime) -> None:
    for path in ("migrations", "plans"):
        response = await fetch(path, method="POST", body=" " * (1024 * 1024 + 1))
        assert response.code == 413
        assert body_of(response)["code"] == "request_too_large"


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "{}", '{"project": 1}', '{"project": "p", "x": 1}', "[" * 100_000]
)
async def test_a_malformed_body_is_400(fetch: Fetch, body: str) -> None:
    response = await fetch(
        "migrations", method="POST", body=body, headers={"Content-Type": "application/json"}
    )
    assert response.code == 400
    assert body_of(response)["code"] == "invalid_request"


@pytest.mark.parametrize(("method", "path"), [("PUT", "migrations"), ("DELETE", "plans")])
async def test_a_wrong_method_is_405(fetch: Fetch, method: str, path: str) -> None:
    response = await fetch(path, method=method)
    assert response.code == 405
    assert body_of(response)["code"] == "method_not_allowed"
    assert "POST" in response.headers["Allow"]


@pytest.mark.parametrize("migration", ["..", ".", "%2e%2e", "..%2fdoctor", "a b", "%ff", "%00"])
async def test_an_id_leads_nowhere_else(
    fetch: Fetch, http_server_port: Any, jp_base_url: str, jp_auth_header: Any, migration: str
) -> None:
    url = f"http://127.0.0.1:{http_server_port[1]}{jp_base_url}secxops/api/v1/migrations/"
    response = await AsyncHTTPClient().fetch(
        HTTPRequest(url + migration.replace(" ", "%20"), headers=jp_auth_header), raise_error=False
    )
    assert response.code in (400, 404)
    assert set(body_of(response)) == ERROR


async def test_relative_paths_start_at_the_servers_root(fetch: Fetch, jp_root_dir: Path) -> None:
    shared = await share(
        fetch,
        project="a/./b",
        data=["d", "/elsewhere"],
        mounts={"d": "/data/d"},
        unsaved=["a/x.ipynb", "/elsewhere/y"],
        front="a/x.ipynb",
    )
    assert shared["request"]["project"] == str(jp_root_dir / "a" / "b")
    assert shared["request"]["data"] == [str(jp_root_dir / "d"), "/elsewhere"]
    assert shared["request"]["mounts"] == {str(jp_root_dir / "d"): "/data/d"}
    assert shared["request"]["unsaved"] == [str(jp_root_dir / "a" / "x.ipynb"), "/elsewhere/y"]
    assert shared["request"]["front"] == str(jp_root_dir / "a" / "x.ipynb")
    seen = body_of(await fetch("environment", params={"project": "a"}))
    assert seen["project"]["path"] == str(jp_root_dir / "a")


async def test_folders_of_a_pod_are_not_those_of_the_server(fetch: Fetch) -> None:
    shared = await share(fetch, project="/p", source={"pod": "alice"})
    assert shared["request"]["source"] == {"pod": "alice", "container": None}
    seen = body_of(await fetch("environment", params={"project": "/p", "pod": "alice"}))
    assert (seen["kind"], seen["container"]) == ("pod", "alice/")
    for response in (
        await fetch("environment", params={"project": "p", "pod": "alice"}),
        await fetch(
            "plans",
            method="POST",
            body='{"project": "p", "source": {"pod": "alice"}}',
            headers={"Content-Type": "application/json"},
        ),
    ):
        assert (response.code, body_of(response)["code"]) == (400, "no_such_path")


async def test_a_relative_path_that_climbs_is_refused(fetch: Fetch) -> None:
    response = await fetch("environment", params={"project": "../etc"})
    assert response.code == 400
    assert body_of(response)["code"] == "no_such_path"


def test_paths_are_made_absolute_as_text() -> None:
    assert absolute("/a/../b", "/root") == "/a/../b"
    assert absolute("a//b/", "/root") == "/root/a/b"
    assert absolute("..a", "/root") == "/root/..a"
    for climbing in ("..", "a/../../b", "a/.."):
        with pytest.raises(NoSuchPath):
            absolute(climbing, "/root")
    plans = next(route for route in table() if route.path == "/plans")
    assert with_absolute_paths(b"not json", "/root", plans) == b"not json"
    assert with_absolute_paths(b'{"data": 3}', "/root", plans) == b'{"data": 3}'


# --------------------------------------------------------------------------- what comes back


@pytest.mark.parametrize("name", ["Accept", "Idempotency-Key", "Last-Event-ID"])
async def test_a_header_that_is_not_ascii_is_a_bad_request(fetch: Fetch, name: str) -> None:
    response = await fetch("migrations", headers={name: "caf\xe9"}, raise_error=False)
    assert (response.code, body_of(response)["code"]) == (400, "invalid_request")


async def test_a_share_goes_through_and_its_location_is_here(
    fetch: Fetch, jp_base_url: str, runtime: Runtime
) -> None:
    response = await fetch(
        "migrations",
        method="POST",
        body='{"project": "/p"}',
        headers={"Content-Type": "application/json", "Idempotency-Key": "k"},
    )
    found = body_of(response)
    assert response.headers["Location"] == f"{jp_base_url}secxops/api/v1/migrations/{found['id']}"
    again = await fetch(
        "migrations",
        method="POST",
        body='{"project": "/p"}',
        headers={"Content-Type": "application/json", "Idempotency-Key": "k"},
    )
    assert body_of(again)["id"] == found["id"]
    stream = await fetch("events", params={"migration": found["id"], "after": 0})
    assert stream.headers["Content-Type"] == "text/event-stream"
    assert b"event: end" in stream.body
    one = await fetch(f"migrations/{found['id']}")
    assert TOKEN in body_of(one)["result"]["url"]
    assert TOKEN not in (await fetch("migrations")).body.decode()
    log = await fetch(f"migrations/{found['id']}/log")
    assert log.headers["Content-Type"].startswith("text/plain")
    contract = await fetch("openapi.yaml")
    assert contract.body.startswith(b"openapi: 3.1")
    assert (await fetch(f"migrations/{found['id']}", method="DELETE")).code == 204
    assert (await fetch(f"migrations/{found['id']}")).code == 404


async def test_jupyters_secrets_stay_in_jupyter(
    fetch: Fetch, jp_serverapp: Any, runtime: Runtime
) -> None:
    token = jp_serverapp.identity_provider.token
    response = await fetch(
        "doctor", params={"token": token}, headers={"Cookie": "secret=cookie", "Authorization": ""}
    )
    assert response.code == 200
    # The line is written after the answer was.
    wait_until(lambda: "GET /secxops/api/v1/doctor 200" in runtime.log.read_text("utf-8"))
    text = runtime.log.read_text("utf-8")
    assert token not in text


async def test_a_stream_is_cut_and_taken_up_over_a_killed_service(
    fetch: Fetch, http_server_port: Any, jp_base_url: str, jp_auth_header: Any, runtime: Runtime
) -> None:
    await share(fetch)
    url = f"http://127.0.0.1:{http_server_port[1]}{jp_base_url}secxops/api/v1/events"
    pieces: list[bytes] = []
    first = asyncio.Event()

    def take(piece: bytes) -> None:
        pieces.append(piece)
        if b"succeeded" in b"".join(pieces):
            first.set()

    streaming = asyncio.ensure_future(
        answer(
            AsyncHTTPClient().fetch(
                HTTPRequest(f"{url}?after=0", headers=jp_auth_header, streaming_callback=take)
            )
        )
    )
    await asyncio.wait_for(first.wait(), 20)
    os.kill(runtime.listener() or 0, signal.SIGKILL)
    ended = await asyncio.wait_for(streaming, 20)
    assert ended.code == 200
    assert b"event: end" not in b"".join(pieces)
    last = b"".join(pieces).rsplit(b"id: ", 1)[1].split(b"\n")[0].decode()
    # The browser comes back; the service with it.
    shared = await share(fetch)
    again = await fetch(
        "events", params={"migration": shared["id"]}, headers={"Last-Event-ID": str(int(last) - 2)}
    )
    assert b"event: end" in again.body
    assert len(started(runtime)) == 2


async def test_a_stream_ends_with_its_browser(
    fetch: Fetch, http_server_port: Any, jp_base_url: str, jp_auth_header: Any, runtime: Runtime
) -> None:
    await fetch("doctor")
    [name] = [value for key, value in jp_auth_header.items() if key == "Authorization"]
    reader, writer = await asyncio.open_connection("127.0.0.1", http_server_port[1])
    writer.write(
        f"GET {jp_base_url}secxops/api/v1/events HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{http_server_port[1]}\r\nAuthorization: {name}\r\n\r\n".encode()
    )
    await asyncio.wait_for(reader.readuntil(b"retry: "), 10)
    writer.close()
    await writer.wait_closed()
    # The service logs a request when it ends.
    for _ in range(250):
        if "/events 200" in runtime.log.read_text("utf-8"):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the stream goes on for nobody")


async def test_a_service_that_cant_start_is_503(
    fetch: Fetch, jp_serverapp: Any, runtime: Runtime
) -> None:
    manager = jp_serverapp.extension_manager
    [extension] = manager.extension_apps["jupyter_secxops_migrate"]
    extension.service_command = [sys.executable, "-c", "raise SystemExit(3)"]
    response = await fetch("doctor")
    assert response.code == 503
    assert body_of(response)["code"] == "service_unavailable"
    assert str(runtime.data) in body_of(response)["params"]["log"]


# --------------------------------------------------------------------------- cost


def test_loading_the_extension_imports_nothing_heavy() -> None:
    program = (
        "import sys, jupyter_server.serverapp, jupyter_secxops_migrate as p\n"
        "before = set(sys.modules)\n"
        "p._jupyter_server_extension_points()\n"
        "new = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "print(sorted(new))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )
    assert said.stdout.strip() == "['jupyter_secxops_migrate', 'jupyter_server']"


def test_the_lab_extension_is_found_where_it_is_built() -> None:
    import jupyter_secxops_migrate as package

    [found] = package._jupyter_labextension_paths()
    assert found == {"src": "labextension", "dest": "@jupyter-secxops/migrate"}


def test_installing_enables_the_extension() -> None:
    config = TESTS.parent / "jupyter-config" / "jupyter_server_config.d"
    enabled = json.loads((config / "jupyter_secxops_migrate.json").read_text("utf-8"))
    assert enabled == {"ServerApp": {"jpserver_extensions": {"jupyter_secxops_migrate": True}}}
