"""Which rooms bring parts of their own: the one place where a room is registered.

A part is a module of the room that is imported by its name when it is asked for: ``errors`` of each room in `ROOMS`;
and of each kind of operation, in `KINDS`, what people touch of it. Nothing is imported here, so that a client that
needs one part loads no other.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from types import ModuleType

KINDS = ("sharing",)
"""The kinds of operations."""

ROOMS = (
    "project",
    "building",
    "copying",
    "placement",
    "registries",
    "engines",
    "engines.kubernetes",
    "operations",
    "hosts",
    *KINDS,
)
"""The rooms that have errors of their own, in the order in which documentation shows them."""


def parts(name: str, rooms: Iterable[str]) -> Iterator[ModuleType]:
    """Yield the module of this name of each room; it has to be one that imports little."""
    for room in rooms:
        yield importlib.import_module(f"{__package__}.{room}.{name}")
