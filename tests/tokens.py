"""People known by their tokens, for hosts in tests that listen on a port of this machine."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from tornado.httputil import HTTPServerRequest


class TokenIdentity:
    """A fixed set of tokens, each somebody's.

    Parameters
    ----------
    owners
        Token to owner.
    """

    def __init__(self, owners: Mapping[str, str]) -> None:
        self._owners = [(token.encode(), owner) for token, owner in owners.items()]

    def authenticate(self, request: HTTPServerRequest) -> str | None:
        """Return the owner of the token in ``Authorization: token …`` (or ``Bearer …``)."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() not in ("token", "bearer"):
            return None
        given = token.strip().encode("utf-8", "surrogateescape")
        found = None
        # All are compared, each in constant time: how long it takes tells nothing.
        for known, owner in self._owners:
            if hmac.compare_digest(known, given):
                found = owner
        return found
