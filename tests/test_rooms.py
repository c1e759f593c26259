"""A room brings its own faces: a table of one route is all that the service and the extension need."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from jupyter_server.auth.authorizer import Authorizer
from pydantic import BaseModel, Field
from tornado.httpclient import HTTPClientError, HTTPResponse
from web.host import ALICE, Host, serving

from jupyter_secxops_migrate import rooms
from jupyter_secxops_migrate.client import Connection
from jupyter_secxops_migrate.model import ServerPath
from jupyter_secxops_migrate.routes import Asked, Route

pytest_plugins = ["pytest_jupyter.jupyter_server"]

Fetch = Callable[..., Awaitable[HTTPResponse]]


class Tally(BaseModel):
    folder: ServerPath = Field(description="a folder's path")
    others: list[ServerPath] = []
    label: str = ""


async def _tally(api: Any, asked: Asked) -> Tally:
    tally: Tally = asked.body()
    return tally.model_copy(update={"label": f"{asked.id} of {api.owner}"})


TABLE = (
    Route(
        "POST",
        "/tallies/{id}",
        "write",
        _tally,
        body=f"{__name__}:Tally",
        status=202,
        location="/tallies/{0.label}",
    ),
)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A service that has one more room: its table, and its name in the list."""
    table: Any = ModuleType("jupyter_secxops_migrate.tallying.routes")
    table.ROUTES = TABLE
    monkeypatch.setitem(sys.modules, table.__name__, table)
    monkeypatch.setattr(rooms, "KINDS", (*rooms.KINDS, "tallying"))
    with serving() as host:
        yield host


@pytest.fixture
def jp_server_config(service: Host) -> dict[str, Any]:
    return {"ServerApp": {"jpserver_extensions": {"jupyter_secxops_migrate": True}}}


@pytest.fixture
def post(jp_fetch: Fetch, jp_serverapp: Any, service: Host) -> Fetch:
    [extension] = jp_serverapp.extension_manager.extension_apps["jupyter_secxops_migrate"]
    extension._connection = Connection(service.url, ALICE)

    async def ask(body: dict[str, object], **options: Any) -> HTTPResponse:
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}
        try:
            return await jp_fetch(
                *("secxops", "api", "v1", "tallies", "t1"),
                method="POST",
                body=json.dumps(body),
                headers=headers,
                **options,
            )
        except HTTPClientError as error:
            assert error.response is not None
            return error.response

    return ask


class Reader(Authorizer):
    """Lets everybody read, and nothing else."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return action == "read" and resource == "secxops"


async def test_a_rooms_route_goes_through_with_its_paths_absolute(
    post: Fetch, jp_root_dir: Any, jp_base_url: str
) -> None:
    response = await post({"folder": "a", "others": ["b", "/c"], "label": "x"})
    assert (response.code, json.loads(response.body)) == (
        202,
        {
            "folder": f"{jp_root_dir}/a",
            "others": [f"{jp_root_dir}/b", "/c"],
            "label": "t1 of alice",
        },
    )
    assert response.headers["Location"] == f"{jp_base_url}secxops/api/v1/tallies/t1 of alice"


async def test_what_is_wrong_with_its_body_is_told_in_its_words(post: Fetch) -> None:
    response = await post({"folder": 3})
    assert response.code == 400
    assert "folder has to be a folder's path" in json.loads(response.body)["message"]


async def test_its_action_is_enforced(
    post: Fetch, jp_serverapp: Any, jp_web_app: Any, service: Host
) -> None:
    assert (await post({"folder": "a"}, headers={"Authorization": ""})).code in (401, 403)
    jp_web_app.settings["authorizer"] = Reader(
        parent=jp_serverapp, identity_provider=jp_serverapp.identity_provider
    )
    response = await post({"folder": "a"})
    assert (response.code, json.loads(response.body)["code"]) == (403, "forbidden")
