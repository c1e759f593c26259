"""Sharing's rows of the route table: what each request for shares asks of `MigrationApi`."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from ..routes import TEXT, Asked, Query, Route

if TYPE_CHECKING:
    from ..api import MigrationApi
    from ..model import Environment, Migration, Plan

REQUEST = "jupyter_secxops_migrate.model:ShareRequest"


async def _environment(api: MigrationApi, asked: Asked) -> Environment:
    from pydantic import ValidationError

    from ..errors import InvalidRequest
    from ..fields import invalid
    from ..model import PodSource, ShareRequest
    from ..paths import insist_on_absolute

    pod, container = asked.text("pod"), asked.text("container")
    try:
        found = ShareRequest(
            project=asked.text("project") or "",
            data=asked.texts("data"),
            source=None if pod is None else PodSource(pod=pod, container=container),
        )
    except ValidationError as error:
        raise invalid(error) from None
    if pod is None and container is not None:
        raise InvalidRequest(reason="container: it needs a pod", fields=["container"])
    insist_on_absolute(found)
    return await api.environment(found.project, found.data, found.source)


def _plan(api: MigrationApi, asked: Asked) -> Awaitable[Plan]:
    return api.plan(asked.body())


def _list(api: MigrationApi, asked: Asked) -> Awaitable[Sequence[Migration]]:
    from ..errors import InvalidRequest

    limit = asked.number("limit")
    if limit == 0:
        raise InvalidRequest(reason="limit must be 1 or more")
    return api.list(limit, asked.named("before"))


def _share(api: MigrationApi, asked: Asked) -> Awaitable[Migration]:
    key = asked.key()
    return api.share(asked.body(), key)


def _get(api: MigrationApi, asked: Asked) -> Awaitable[Migration]:
    # Its address carries its token, because the owner asks.
    changes = asked.flag("changes")
    return api.get(asked.id, token=True, changes=changes)


def _delete(api: MigrationApi, asked: Asked) -> Awaitable[None]:
    return api.delete(asked.id)


def _cancel(api: MigrationApi, asked: Asked) -> Awaitable[Migration]:
    return api.cancel(asked.id)


def _retry(api: MigrationApi, asked: Asked) -> Awaitable[Migration]:
    return api.retry(asked.id)


def _start(api: MigrationApi, asked: Asked) -> Awaitable[Migration]:
    return api.start(asked.id)


def _stop(api: MigrationApi, asked: Asked) -> Awaitable[Migration]:
    return api.stop(asked.id)


def _log(api: MigrationApi, asked: Asked) -> Awaitable[str]:
    return api.log(asked.id)


_FOLDERS = (
    Query("project", path=True),
    Query("data", path=True),
    Query("pod"),
    Query("container"),
)
_PAGE = (Query("limit"), Query("before"))
_ONE = "/migrations/{id}"

ROUTES = (
    Route("GET", "/environment", "read", _environment, query=_FOLDERS, elsewhere="pod"),
    # A plan touches nothing, so reading is enough.
    Route("POST", "/plans", "read", _plan, body=REQUEST, elsewhere="source"),
    Route("GET", "/migrations", "read", _list, query=_PAGE),
    # A build runs what its Dockerfile says.
    Route(
        "POST",
        "/migrations",
        "execute",
        _share,
        body=REQUEST,
        elsewhere="source",
        repeat="keyed",
        status=HTTPStatus.ACCEPTED,
        location="/migrations/{0.id}",
    ),
    Route("GET", _ONE, "read", _get, query=(Query("changes"),)),
    Route("DELETE", _ONE, "write", _delete, status=HTTPStatus.NO_CONTENT),
    Route("POST", f"{_ONE}/cancel", "write", _cancel, status=HTTPStatus.ACCEPTED),
    Route("POST", f"{_ONE}/retry", "execute", _retry, repeat="once", status=HTTPStatus.ACCEPTED),
    Route("POST", f"{_ONE}/start", "execute", _start),
    Route("POST", f"{_ONE}/stop", "write", _stop),
    Route("GET", f"{_ONE}/log", "read", _log, answer=TEXT),
)
