"""What every handler stands on: who asks, for whom the API is, and what is going on at the door."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from .activity import Activity
from .identity import Identity


class Services(Protocol):
    """What the routes stand on: the API of each room, once for each owner."""

    def for_owner(self, owner: str, room: str = "sharing") -> Any:
        """Return a room's API bound to one owner; that of sharing is an `api.MigrationApi`."""
        ...


@dataclass(frozen=True)
class Door:
    """One application's.

    Parameters
    ----------
    services
        Gives each owner's API.
    identity
        Says who asks.
    root
        The routes are below it.
    allowed_hosts
        Host names that a request may be addressed to; None for any.
    """

    services: Services
    identity: Identity
    root: str
    allowed_hosts: frozenset[str] | None
    activity: Activity = field(default_factory=Activity)
