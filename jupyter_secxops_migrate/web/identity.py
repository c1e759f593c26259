"""Who asks: the seam between a host's way of knowing people and the service's owners.

An `Identity` turns a request into an owner, or into nobody. It gives no rights: an owner reaches
the owner's own shares, which the service itself checks.
"""

from __future__ import annotations

import os
import pwd
import socket
import struct
from typing import Any, Protocol

from tornado.httputil import HTTPServerRequest


class Identity(Protocol):
    """Says which owner a request comes from."""

    def authenticate(self, request: HTTPServerRequest) -> str | None:
        """Return the owner's name, None for nobody."""
        ...


def account_name(uid: int) -> str:
    """Return the account name of a numeric user id; ``uid-N`` where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


class PeerIdentity:
    """The account at the other end of a Unix socket, as the kernel tells it (``SO_PEERCRED``).

    Only the account that the service runs as is let in. Root is not: what root does here would
    be done in the name of this account, and root can become it. Nor is a process that can't be seen from
    here: it is in another container that has the same home, and means that one's files.
    """

    def authenticate(self, request: HTTPServerRequest) -> str | None:
        """Return this account's name if the peer is this account."""
        connection: Any = request.connection
        peer = getattr(getattr(connection, "stream", None), "socket", None)
        if peer is None or peer.family != socket.AF_UNIX:
            return None
        size = struct.calcsize("3i")
        pid, uid, _ = struct.unpack(
            "3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
        return account_name(uid) if uid == os.geteuid() and pid else None
