"""The service's own rows of the route table: what is about no kind of operation, or about all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import rooms
from ..routes import STREAM, YAML, Asked, Query, Route

if TYPE_CHECKING:
    from ..api import MigrationApi
    from ..model import Event, Migration, Orphan, ServiceReport


async def _events(api: MigrationApi, asked: Asked) -> AsyncIterator[Event]:
    # What a browser says when it comes back is later than its address.
    after = asked.number("after", header="Last-Event-ID")
    migration = asked.named("migration")
    if migration is not None:
        # An id that is not the owner's is answered as such, before the stream is one.
        await api.get(migration)
    return api.events(migration, after)


def _orphans(api: MigrationApi, asked: Asked) -> Awaitable[Sequence[Orphan]]:
    return api.orphans()


def _adopt(api: MigrationApi, asked: Asked) -> Awaitable[Sequence[Migration]]:
    return api.adopt()


def _sweep(api: MigrationApi, asked: Asked) -> Awaitable[Sequence[Orphan]]:
    return api.sweep()


def _doctor(api: MigrationApi, asked: Asked) -> Awaitable[ServiceReport]:
    return api.doctor()


async def _contract(api: MigrationApi, asked: Asked) -> bytes:
    import importlib.resources

    return importlib.resources.files(__package__).joinpath("openapi.yaml").read_bytes()


ROUTES = (
    Route(
        "GET",
        "/events",
        "read",
        _events,
        query=(Query("migration"), Query("after")),
        answer=STREAM,
    ),
    Route("GET", "/orphans", "read", _orphans),
    Route("POST", "/orphans", "write", _adopt),
    Route("DELETE", "/orphans", "write", _sweep),
    Route("GET", "/doctor", "read", _doctor),
    Route("GET", "/openapi.yaml", "read", _contract, answer=YAML),
)


def table() -> Sequence[Route]:
    """Return the whole table: the rows of each kind of operation, and these."""
    found = [
        replace(route, room=kind)
        for kind, part in zip(rooms.KINDS, rooms.parts("routes", rooms.KINDS), strict=True)
        for route in part.ROUTES
    ]
    return (*found, *ROUTES)
