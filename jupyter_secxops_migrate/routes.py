"""What a route is: one row of a table, from which the service and the Jupyter server extension are made.

A kind of operation has its rows in ``ROOM/routes.py``; `web.routes.table` collects them. The service makes a handler of each path
(`web.handlers`), the extension a forwarder (`serverapp`). Light, and so are the tables: JupyterLab's start
imports them, so they may import what they need to *run* only within their functions.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

API = "secxops/api/v1"
"""What all paths are below."""
BODY_BYTES = 1024 * 1024
"""How large a request's body may be."""

Action = Literal["read", "write", "execute"]
"""What the Jupyter server's authorizer is asked for."""

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
YAML = "application/yaml"
STREAM = "text/event-stream"


class Asked(Protocol):
    """What a request says, as its route's `Call` reads it. Each method raises what is wrong with it."""

    @property
    def id(self) -> str:
        """The first id in the path."""
        ...

    def ids(self) -> Sequence[str]:
        """Return the ids in the path, in their order."""
        ...

    def body(self) -> Any:
        """Return the body, as the route's model."""
        ...

    def key(self) -> str | None:
        """Return the Idempotency-Key."""
        ...

    def text(self, name: str) -> str | None:
        """Return a parameter of the query as it is."""
        ...

    def texts(self, name: str) -> list[str]:
        """Return a parameter that may be there several times."""
        ...

    def number(self, name: str, header: str = "") -> int | None:
        """Return a parameter that is a whole number; a header of that name is stronger."""
        ...

    def flag(self, name: str) -> bool:
        """Return a parameter that is true or false (the default)."""
        ...

    def named(self, name: str) -> str | None:
        """Return a parameter that is an id."""
        ...


Call = Callable[[Any, Asked], Awaitable[Any]]
"""Does what is asked with the API of whoever asks; returns what is answered."""


@dataclass(frozen=True)
class Query:
    """A parameter of the query. A ``path`` may be relative to the Jupyter server's root folder."""

    name: str
    path: bool = False


@dataclass(frozen=True)
class Route:
    """One method of one path.

    Parameters
    ----------
    method, path
        The path is below ``secxops/api/v1``, with ``{id}`` where it has an id.
    action
        What whoever asks must be allowed to do, on a Jupyter server.
    call
        What it does.
    query
        The parameters of its query; no others reach the service.
    body
        The model of its body, as ``module:Class``; it has none where empty. Its fields that are
        `model.FromRoot` may be relative to the Jupyter server's root folder.
    elsewhere
        The parameter, or field of the body, with which the request's paths are those of another place.
    repeat
        Whether it may be sent again when the service ended under it: it is ``safe``, it is ``keyed`` by
        its Idempotency-Key, or it is not (``once``).
    status, location, answer
        How a success is answered: its status, the path of what was made (a format of what `call`
        returned), and the content type. A `STREAM` is an iterator of events; 204 has no content.
    room
        Whose API `call` is given; `web.routes.table` says it for the rows of a kind's room.
    """

    method: str
    path: str
    action: Action
    call: Call
    query: tuple[Query, ...] = ()
    body: str = ""
    elsewhere: str = ""
    repeat: Literal["safe", "keyed", "once"] = "safe"
    status: int = 200
    location: str = ""
    answer: str = JSON
    room: str = "sharing"


_PLACE = re.compile(r"\\\{\w+\\\}")


def pattern(path: str) -> str:
    """Return the regular expression of a path, with a group for each id."""
    return _PLACE.sub("([^/]+)", re.escape(path))


def filled(path: str, ids: Sequence[str]) -> str:
    """Return a path with its ids, which are quoted already."""
    left = iter(ids)
    return re.sub(r"\{\w+\}", lambda _: next(left), path)


def by_path(table: Sequence[Route]) -> dict[str, list[Route]]:
    """Return the routes of each path."""
    found: dict[str, list[Route]] = {}
    for route in table:
        found.setdefault(route.path, []).append(route)
    return found
