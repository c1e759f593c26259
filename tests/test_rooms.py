"""A room brings its own faces: a route is all that service and extension need, a command all that the command line needs."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import click
import pytest
from jupyter_server.auth.authorizer import Authorizer
from pydantic import BaseModel, Field
from tornado.httpclient import HTTPClientError, HTTPResponse
from web.host import ALICE, Host, serving

from jupyter_secxops_migrate import rooms
from jupyter_secxops_migrate.cli import run
from jupyter_secxops_migrate.client import Connection
from jupyter_secxops_migrate.commands import Exit, Talk, json_option
from jupyter_secxops_migrate.request import ServerPath
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


# --------------------------------------------------------------------------- commands


@click.command()
@click.argument("folder")
@json_option
@click.pass_obj
def tally(talk: Talk, folder: str) -> Exit:
    """Count what is in FOLDER."""
    counted = talk.call(lambda api: api.tally(folder))
    talk.document(counted) if talk.json else talk.out.print(counted.label)
    return Exit.REFUSED


class Counter:
    async def tally(self, folder: str) -> Tally:
        return Tally(folder=folder, label=f"3 in {folder}")


@asynccontextmanager
async def counter() -> AsyncIterator[Any]:
    yield Counter()


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more room: its commands, and its name in the list."""
    part: Any = ModuleType("jupyter_secxops_migrate.tallying.commands")
    part.COMMANDS = (tally,)
    monkeypatch.setitem(sys.modules, part.__name__, part)
    monkeypatch.setattr(rooms, "KINDS", (*rooms.KINDS, "tallying"))


@pytest.mark.usefixtures("room")
def test_a_rooms_command_is_one_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == Exit.DONE
    assert "\n  tally       Count what is in FOLDER.\n" in capsys.readouterr().out
    assert run(["completion", "bash"]) == Exit.DONE


@pytest.mark.usefixtures("room")
def test_a_rooms_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tally", "here"], counter) == Exit.REFUSED
    assert capsys.readouterr().out == "3 in here\n"
    assert run(["tally", "here", "--json"], counter) == Exit.REFUSED
    assert json.loads(capsys.readouterr().out)["label"] == "3 in here"
    assert run(["tally"], counter) == Exit.USAGE


def test_without_the_room_there_is_no_such_command() -> None:
    assert run(["tally", "here"], counter) == Exit.USAGE
