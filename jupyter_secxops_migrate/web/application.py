"""The service as a tornado application: its routes, settings and access log."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from typing import Any, Protocol

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from ..api import MigrationApi
from ..runtime import API
from . import handlers
from .activity import Activity
from .identity import Identity

log = logging.getLogger(__name__)


class Services(Protocol):
    """What the routes stand on: the API, once for each owner."""

    def for_owner(self, owner: str) -> MigrationApi:
        """Return the API bound to one owner."""
        ...


class ServiceApplication(Application):
    """All routes over one service.

    Parameters
    ----------
    services
        Gives each owner's `MigrationApi`.
    identity
        Says who asks.
    base_url
        The routes are below ``{base_url}secxops/api/v1``.
    allowed_hosts
        Host names (with port, if any) that a request may be addressed to; a host on TCP gives
        them, so that a web page whose name was rebound to this address is turned away. None on a
        Unix socket, which no browser reaches.
    """

    def __init__(
        self,
        services: Services,
        identity: Identity,
        *,
        base_url: str = "/",
        allowed_hosts: Collection[str] | None = None,
    ) -> None:
        self.services = services
        self.identity = identity
        self.activity = Activity()
        self.allowed_hosts = None if allowed_hosts is None else frozenset(allowed_hosts)
        self.root = f"/{base_url.strip('/')}/{API}".replace("//", "/")
        prefix = re.escape(self.root)
        super().__init__(
            [(prefix + route, handler) for route, handler in handlers.ROUTES],
            default_handler_class=handlers.UnknownRoute,
            log_function=log_access,
        )


def log_access(handler: RequestHandler) -> None:
    """Log method, path without query, status and milliseconds; never a header or a body."""
    request = handler.request
    log.info(
        "%s %s %d %.0f ms",
        request.method,
        request.path,
        handler.get_status(),
        1000 * request.request_time(),
    )


def serve_application(application: ServiceApplication, **settings: Any) -> HTTPServer:
    """Return an HTTP server for the application, with its limits; the host adds its sockets."""
    return HTTPServer(
        application,
        max_body_size=handlers.DRAIN_BYTES,
        # The longest query that the contract allows: a project and 32 data paths, quoted.
        max_header_size=512 * 1024,
        **settings,
    )
