"""The service takes on every kind of operation that `rooms.KINDS` names, and asks its room for all that is of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from operations.counting import Count, Counting, add
from tokens import TokenIdentity
from tornado.netutil import bind_sockets

from jupyter_secxops_migrate import rooms
from jupyter_secxops_migrate.engines.directory import DirectoryEngine
from jupyter_secxops_migrate.hosts.house import House
from jupyter_secxops_migrate.operations.service import Operations
from jupyter_secxops_migrate.operations.tenant import Surroundings
from jupyter_secxops_migrate.placement.policy import ResourcePolicy
from jupyter_secxops_migrate.routes import Asked, Route
from jupyter_secxops_migrate.web.application import ServiceApplication, serve_application

TOKEN = "token-of-anne"


class CountingService:
    """The service of counts; what it owns it lets go of in time, which the test sees."""

    def __init__(self, operations: Operations, folder: Path) -> None:
        self.operations = operations
        folder.mkdir()
        self.kind = Counting(operations, folder)
        operations.register(self.kind)
        self.told: list[str] = []

    async def opened(self) -> None:
        self.told.append("opened")

    async def leave(self) -> None:
        self.told.append("leave")

    async def left(self) -> None:
        self.told.append("left")

    def for_owner(self, owner: str) -> CountApi:
        return CountApi(self, owner)


class CountApi:
    def __init__(self, service: CountingService, owner: str) -> None:
        self._service, self._owner = service, owner

    async def count(self, name: str) -> Count:
        return await add(self._service.operations, self._service.kind, name)

    async def get(self, operation: str) -> Count:
        return await self._service.kind.records.get(operation, self._owner)


def _count(api: CountApi, asked: Asked) -> Awaitable[Count]:
    return api.count(asked.id)


def _get(api: CountApi, asked: Asked) -> Awaitable[Count]:
    return api.get(asked.id)


ROUTES = (
    Route("POST", "/counts/{id}", "execute", _count, repeat="once", status=202),
    Route("GET", "/counts/{id}", "read", _get),
)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more room, with its kind and its routes, and its name in the list."""
    kind: Any = ModuleType("jupyter_secxops_migrate.counting.kind")
    kind.SCHEMA = Counting.schema
    kind.service = lambda operations, around: CountingService(operations, around.folder / "counts")
    routes: Any = ModuleType("jupyter_secxops_migrate.counting.routes")
    routes.ROUTES = ROUTES
    for part in (kind, routes):
        monkeypatch.setitem(sys.modules, part.__name__, part)
    monkeypatch.setattr(rooms, "KINDS", (*rooms.KINDS, "counting"))


@pytest.mark.usefixtures("counting")
def test_a_second_kind_is_done_beside_shares(tmp_path: Path) -> None:
    around = Surroundings(tmp_path, DirectoryEngine(tmp_path / "engine"), ResourcePolicy())
    house = House(around, "", workers=2, patience=5)

    async def ended(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
        while (found := (await client.get(path)).json())["state"] in ("queued", "running"):  # noqa: ASYNC110 - as a client would
            await asyncio.sleep(0.05)
        return found

    async def go() -> None:
        await house.start()
        [listening] = bind_sockets(0, "127.0.0.1")
        server = serve_application(ServiceApplication(house, TokenIdentity({TOKEN: "anne"})))
        server.add_sockets([listening])
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/secxops/api/v1"
        async with httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"token {TOKEN}"}
        ) as client:
            assert (await client.post("/counts/one")).status_code == 202
            counted = await asyncio.wait_for(ended(client, "/counts/cone"), 30)
            # Of each other the two kinds know nothing.
            assert (await client.get("/migrations")).json() == []
            assert (await client.get("/migrations/cone")).status_code == 404
        server.stop()
        await server.close_all_connections()
        await house.close()
        assert (counted["state"], counted["total"]) == ("succeeded", 111)

    asyncio.run(go())
    service: Any = house.services["counting"]
    assert service.told == ["opened", "leave", "left"]
