"""The Jupyter server extension: the service's routes, under the server's own URL and rules.

Made from the route table, it forwards and decides nothing: who may ask is Jupyter's to say (`authenticated`, `authorized`,
XSRF), what is answered is the service's. Only here is known where the server's root folder is, so
here a relative path becomes an absolute one. Nothing that takes time is imported before the first
request: JupyterLab's start must not feel this.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.extension.application import ExtensionApp
from tornado import web
from tornado.iostream import StreamClosedError
from traitlets import List, Unicode

from .errors import (
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    NoSuchPath,
    NoSuchRoute,
    NotFound,
    RequestTooLarge,
    SecxopsError,
    Unauthenticated,
)
from .hosts.errors import ServiceStopped, ServiceUnavailable
from .routes import API, BODY_BYTES, STREAM, Action, Route, by_path, filled, pattern
from .units import human_size
from .web.routes import table

if TYPE_CHECKING:
    import httpx

    from .client import Connection

NAME = "jupyter_secxops_migrate"
RESOURCE = "secxops"
METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH")
# Cookies and tokens are Jupyter's; the service on its socket gets neither, nor does a log of its.
HEADERS_TO = ("Accept", "Content-Type", "Idempotency-Key", "Last-Event-ID")
HEADERS_FROM = ("Allow", "Cache-Control", "Retry-After", "X-Accel-Buffering")


def absolute(path: str, root: str) -> str:
    """Return a path that a request names as an absolute one.

    Parameters
    ----------
    path
        Absolute, or relative to ``root``.
    root
        The server's root folder.

    Raises
    ------
    NoSuchPath
        A relative path climbs with ``..``; a folder elsewhere is named by its absolute path.
    """
    if path.startswith("/"):
        return path
    if ".." in PurePosixPath(path).parts:
        raise NoSuchPath(path=path[:1000], problem="leads out of the server's folder")
    return os.path.normpath(os.path.join(os.path.abspath(os.path.expanduser(root)), path))  # noqa: PTH100, PTH111, PTH118 - text: a path need not exist


def with_absolute_paths(body: bytes, root: str, route: Route) -> bytes:
    """Return a request's body with its paths absolute.

    A body that is none is returned as it is: the service says what is wrong with it. So is one whose
    paths are those of another place.
    """
    from pkgutil import resolve_name

    from .paths import with_paths

    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(asked, dict) or asked.get(route.elsewhere) is not None:
        return body
    made = with_paths(resolve_name(route.body), asked, lambda path: absolute(path, root))
    return json.dumps(made).encode()


class Forwarder(APIHandler):
    """What all routes share: sending a request on, and saying what went wrong here."""

    @property
    def connection(self) -> Connection:
        """The one connection of this server to the service."""
        extension: SecxopsExtension = self.settings[NAME]
        return extension.connection()

    @property
    def root(self) -> str:
        """The server's root folder."""
        return str(self.settings.get("server_root_dir", "/"))

    async def forward(self, route: Route, ids: Sequence[str]) -> None:
        """Send this request to the service and its answer to the client."""
        if route.repeat == "keyed":
            # With a key the service knows a request that is sent to it again, as it is when the
            # service ended under the first.
            self.request.headers.setdefault("Idempotency-Key", uuid4().hex)
        path = filled(route.path, [_quoted(one) for one in ids]).lstrip("/")
        query = self.query(route)
        body = self.request.body
        if len(body) > BODY_BYTES:
            raise RequestTooLarge(limit=BODY_BYTES, size=human_size(BODY_BYTES))
        if route.body:
            body = with_absolute_paths(body, self.root, route)
        async with self.connection.call(
            route.method,
            path,
            params=query,
            headers=self.headers_to(),
            content=body or None,
            repeat=route.repeat != "once",
            silence=self.silence(),
        ) as response:
            await self.relay(response)

    def silence(self) -> float | None:
        """Return after how many seconds without a byte the service counts as gone."""
        return None

    def query(self, route: Route) -> list[tuple[str, str]]:
        """Return the parameters that are the route's, paths absolute; Jupyter's token is not one."""
        found = [
            (one, value)
            for one in route.query
            for value in self.get_query_arguments(one.name, strip=False)
        ]
        here = not any(one.name == route.elsewhere for one, _ in found)
        return [
            (one.name, absolute(value, self.root) if here and one.path and value else value)
            for one, value in found
        ]

    def headers_to(self) -> dict[str, str]:
        """Return the headers that are sent on."""
        given = self.request.headers
        found = {name: given[name] for name in HEADERS_TO if name in given}
        for name, value in found.items():
            if not value.isascii():
                raise InvalidRequest(reason=f"the header {name} has other characters than ASCII")
        return found

    async def relay(self, response: httpx.Response) -> None:
        """Send the service's answer."""
        import httpx

        try:
            body = await self.connection.watched(response.aread())
        except httpx.TransportError:
            raise ServiceUnavailable("It ended while it answered.", log="") from None
        self.take_head(response)
        kind = response.headers.get("Content-Type", "application/json")
        await self.finish(body or None, set_content_type=kind)

    def take_head(self, response: httpx.Response) -> None:
        """Take over status and headers."""
        self.set_status(response.status_code)
        for name in HEADERS_FROM:
            if name in response.headers:
                self.set_header(name, response.headers[name])
        location = response.headers.get("Location")
        if location is not None:
            self.set_header("Location", self.base_url.rstrip("/") + location)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with ``{code, message, hint, params}``, as the service does."""
        exception = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(exception, SecxopsError):
            from .web.statuses import status_of

            error, status_code = exception, status_of(exception)
        # Before `prepare` has run, an address that is no text has nobody's name yet.
        elif status_code in (401, 403) and getattr(self, "_jupyter_current_user", None) is None:
            error = Unauthenticated()
        elif status_code == 403:
            error = Forbidden(action="share")
        elif status_code == 404:
            error = NoSuchRoute()
        elif status_code == 405:
            error = MethodNotAllowed(method=(self.request.method or "")[:20])
            self.set_header("Allow", ", ".join(self.allowed_methods()))
        elif status_code < 500:
            error = InvalidRequest(reason="a part of it can't be read")
        else:
            error, status_code = SecxopsError(), 500
        self.set_status(status_code)
        self.finish(json.dumps(error.as_dict()))

    @classmethod
    def allowed_methods(cls) -> list[str]:
        """Return the methods that this path has."""
        # How tornado (6.6) itself marks what a handler does not have.
        nothing = web.RequestHandler._unimplemented_method
        return [name for name in METHODS if getattr(cls, name.lower()) is not nothing]

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what is no answer of ours; its text may quote a request, so only its type."""
        if isinstance(value, web.HTTPError):
            return
        if isinstance(value, SecxopsError):
            self.log.debug("secxops: %s", value.code)
            return
        self.log.error("secxops: %s in %s %s", typ, self.request.method, self.request.path)


def _quoted(id: str) -> str:
    from urllib.parse import quote

    if not id.strip("."):
        # "." and ".." would climb in the path of the request to the service.
        raise NotFound(id=id[:64])
    return quote(id, safe="")


class StreamForwarder(Forwarder):
    """Relays a stream until one side ends it; a browser comes back by itself."""

    # An open panel is no work of the user: it keeps no idle server alive. Jupyter Server (2.21) has it
    # for its own handlers, which no documentation names.
    _track_activity = False

    def initialize(self) -> None:
        """Be told when the browser has gone."""
        super().initialize()
        self._gone = asyncio.Event()

    def silence(self) -> float:
        """Return how many keep-alives of the stream may be missing, in seconds."""
        from .client import SILENCE_SECONDS

        return SILENCE_SECONDS

    def on_connection_close(self) -> None:
        """End the stream from the service when the browser has gone."""
        super().on_connection_close()
        self._gone.set()

    async def relay(self, response: httpx.Response) -> None:
        """Send each piece as it comes."""
        if not response.is_success:
            await super().relay(response)
            return
        self.take_head(response)
        self.set_header("Content-Type", response.headers["Content-Type"])
        await self.flush()
        relaying = asyncio.ensure_future(self._pump(response))
        leaving = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({relaying, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (relaying, leaving):
                task.cancel()
            await asyncio.gather(relaying, leaving, return_exceptions=True)

    async def _pump(self, response: httpx.Response) -> None:
        import httpx

        try:
            async for chunk in self.connection.pieces(response.aiter_raw()):
                self.write(chunk)
                await self.flush()
        except (httpx.TransportError, StreamClosedError, ServiceStopped):
            return  # the browser comes back, and is told then


def _nothing(action: Action) -> Callable[..., Awaitable[None] | None]:
    @web.authenticated
    @authorized(action, resource=RESOURCE)
    async def say(self: Forwarder) -> None:
        raise NoSuchRoute()

    return say


class UnknownForwarder(Forwarder):
    """Every other address below ours."""

    get = _nothing("read")
    post = delete = put = patch = _nothing("write")


def forwarders(table: Sequence[Route]) -> list[tuple[str, type[Forwarder]]]:
    """Return each path's regular expression and forwarder, and last what answers for all others."""
    found = [
        (API + pattern(path), _forwarder(path, routes)) for path, routes in by_path(table).items()
    ]
    return [*found, (rf"{API}(?:/.*)?", UnknownForwarder)]


def _forwarder(path: str, routes: Sequence[Route]) -> type[Forwarder]:
    streams = any(route.answer == STREAM for route in routes)
    methods = {route.method.lower(): _method(route) for route in routes}
    base = StreamForwarder if streams else Forwarder
    return type(base.__name__, (base,), {"__doc__": f"``{path}``.", **methods})


def _method(route: Route) -> Callable[..., Awaitable[None] | None]:
    @web.authenticated
    @authorized(route.action, resource=RESOURCE)
    async def forward(self: Forwarder, *ids: str) -> None:
        await self.forward(route, ids)

    return forward


class SecxopsExtension(ExtensionApp):
    """Shares running environments: forwards the sidebar's requests to this account's service."""

    name = NAME
    description = "Forward requests to the secxops service of this account."

    service_command = List(
        Unicode(),
        help="The command that starts the service, as a list of words. Empty: the service of this "
        "package, in this Python.",
    ).tag(config=True)

    _connection: Connection | None = None

    def connection(self) -> Connection:
        """Return the connection to the service, made with the first request."""
        if self._connection is None:
            from .client import COMMAND, Connection

            self._connection = Connection(command=self.service_command or COMMAND)
        return self._connection

    def initialize_settings(self) -> None:
        """Let handlers find this extension."""
        self.settings[NAME] = self

    def initialize_handlers(self) -> None:
        """Add the routes."""
        self.handlers.extend((f"/{path}", handler) for path, handler in forwarders(table()))

    async def stop_extension(self) -> None:
        """Close the connection; the service stays for others, and leaves when it is idle."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
