"""The service as a tornado application: its routes, settings and access log."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from ..routes import API
from . import handlers
from .activity import Activity
from .door import Door, Services
from .identity import Identity
from .routes import table

log = logging.getLogger(__name__)


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
        root = f"/{base_url.strip('/')}/{API}".replace("//", "/")
        hosts = None if allowed_hosts is None else frozenset(allowed_hosts)
        self.door = Door(services, identity, root, hosts)
        prefix = re.escape(root)
        door = {"door": self.door}
        super().__init__(
            [(prefix + path, handler, door) for path, handler in handlers.handlers(table())],
            default_handler_class=handlers.UnknownRoute,
            default_handler_args=door,
            log_function=log_access,
        )

    @property
    def activity(self) -> Activity:
        """What is going on at its door."""
        return self.door.activity


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
