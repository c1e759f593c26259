"""The Jupyter server extension: the service's routes, under the server's own URL and rules.

It forwards and decides nothing: who may ask is Jupyter's to say (`authenticated`, `authorized`,
XSRF), what is answered is the service's. Only here is known where the server's root folder is, so
here a relative path becomes an absolute one. Nothing that takes time is imported before the first
request: JupyterLab's start must not feel this.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
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

if TYPE_CHECKING:
    import httpx

    from .client import Connection

NAME = "jupyter_secxops_migrate"
API = "secxops/api/v1"
RESOURCE = "secxops"
BODY_BYTES = 1024 * 1024
METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH")
# Cookies and tokens are Jupyter's; the service on its socket gets neither, nor does a log of its.
HEADERS_TO = ("Accept", "Content-Type", "Idempotency-Key", "Last-Event-ID")
HEADERS_FROM = ("Allow", "Cache-Control", "Retry-After", "X-Accel-Buffering")
QUERY = ("changes", "project", "data", "pod", "container", "migration", "after", "limit", "before")


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


def with_absolute_paths(body: bytes, root: str) -> bytes:
    """Return a share request with its paths absolute.

    A body that is none is returned as it is: the service says what is wrong with it. So is one whose
    paths are those of another pod.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(asked, dict) or asked.get("source") is not None:
        return body

    def resolved(value: Any) -> Any:
        return absolute(value, root) if isinstance(value, str) and value else value

    asked |= {name: resolved(asked[name]) for name in ("project", "front") if name in asked}
    for name in ("data", "unsaved"):
        if isinstance(asked.get(name), list):
            asked[name] = [resolved(path) for path in asked[name]]
    if isinstance(asked.get("mounts"), dict):
        # Its keys are the paths of `project` and `data`.
        asked["mounts"] = {resolved(key): value for key, value in asked["mounts"].items()}
    return json.dumps(asked).encode()


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

    async def forward(
        self,
        path: str,
        *,
        body: bytes | None = None,
        query: Sequence[tuple[str, str]] | None = None,
        repeat: bool = True,
        silence: float | None = None,
    ) -> None:
        """Send this request to the service and its answer to the client."""
        if len(self.request.body) > BODY_BYTES:
            raise RequestTooLarge(limit=BODY_BYTES)
        async with self.connection.call(
            self.request.method or "GET",
            path,
            params=self.query() if query is None else query,
            headers=self.headers_to(),
            content=(self.request.body if body is None else body) or None,
            repeat=repeat,
            silence=silence,
        ) as response:
            await self.relay(response)

    def query(self) -> list[tuple[str, str]]:
        """Return the parameters that are the service's; Jupyter's token is not one."""
        return [
            (name, value) for name in QUERY for value in self.get_query_arguments(name, strip=False)
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


class EnvironmentForwarder(Forwarder):
    """``environment``."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """Observe the environment of a project."""
        query = self.query()
        if not any(name == "pod" for name, _ in query):
            query = [
                (
                    name,
                    absolute(value, self.root) if value and name in ("project", "data") else value,
                )
                for name, value in query
            ]
        await self.forward("environment", query=query)


class PlansForwarder(Forwarder):
    """``plans``."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def post(self) -> None:
        """Decide what a share would do; a plan touches nothing, so reading is enough."""
        await self.forward("plans", body=_paths(self))


class MigrationsForwarder(Forwarder):
    """``migrations``."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """List them."""
        await self.forward("migrations")

    @web.authenticated
    @authorized("execute", resource=RESOURCE)
    async def post(self) -> None:
        """Share: a build runs what its Dockerfile says."""
        # With a key the service knows a request that is sent to it again, as it is when the
        # service ended under the first.
        self.request.headers.setdefault("Idempotency-Key", uuid4().hex)
        await self.forward("migrations", body=_paths(self))


def _paths(handler: Forwarder) -> bytes:
    body = handler.request.body
    # What is too long is not read; `forward` says so.
    return body if len(body) > BODY_BYTES else with_absolute_paths(body, handler.root)


class MigrationForwarder(Forwarder):
    """``migrations/{id}``."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self, migration: str) -> None:
        """Show one."""
        await self.forward(f"migrations/{_quoted(migration)}")

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def delete(self, migration: str) -> None:
        """Delete one."""
        await self.forward(f"migrations/{_quoted(migration)}")


class StopForwarder(Forwarder):
    """``migrations/{id}/cancel|stop``."""

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def post(self, migration: str, action: str) -> None:
        """End what runs."""
        await self.forward(f"migrations/{_quoted(migration)}/{action}")


class RunForwarder(Forwarder):
    """``migrations/{id}/retry|start``."""

    @web.authenticated
    @authorized("execute", resource=RESOURCE)
    async def post(self, migration: str, action: str) -> None:
        """Run it again."""
        await self.forward(f"migrations/{_quoted(migration)}/{action}", repeat=action == "start")


class LogForwarder(Forwarder):
    """``migrations/{id}/log``."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self, migration: str) -> None:
        """Send its log."""
        await self.forward(f"migrations/{_quoted(migration)}/log")


def _quoted(migration: str) -> str:
    from urllib.parse import quote

    if not migration.strip("."):
        # "." and ".." would climb in the path of the request to the service.
        raise NotFound(id=migration[:64])
    return quote(migration, safe="")


class OrphansForwarder(Forwarder):
    """``orphans``."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """List them."""
        await self.forward("orphans")

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def post(self) -> None:
        """Take the shares among them into the record again."""
        await self.forward("orphans")

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def delete(self) -> None:
        """Remove them."""
        await self.forward("orphans")


class DoctorForwarder(Forwarder):
    """``doctor``."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """Check the service and its surroundings."""
        await self.forward("doctor")


class ContractForwarder(Forwarder):
    """``openapi.yaml``."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """Send the contract."""
        await self.forward("openapi.yaml")


class EventsForwarder(Forwarder):
    """``events``."""

    # An open panel is no work of the user: it keeps no idle server alive.
    _track_activity = False
    _gone: asyncio.Event | None = None

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """Relay the stream until one side ends it; the browser comes back by itself."""
        from .client import SILENCE_SECONDS

        self._gone = asyncio.Event()
        await self.forward("events", silence=SILENCE_SECONDS)

    def on_connection_close(self) -> None:
        """End the stream from the service when the browser has gone."""
        super().on_connection_close()
        if self._gone is not None:
            self._gone.set()

    async def relay(self, response: httpx.Response) -> None:
        """Send each piece as it comes."""
        if not response.is_success:
            await super().relay(response)
            return
        self.take_head(response)
        self.set_header("Content-Type", response.headers["Content-Type"])
        await self.flush()
        assert self._gone is not None
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


class UnknownForwarder(Forwarder):
    """Every other address below ours."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """Say that there is nothing."""
        raise NoSuchRoute()

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def post(self) -> None:
        """Say that there is nothing."""
        raise NoSuchRoute()

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def delete(self) -> None:
        """Say that there is nothing."""
        raise NoSuchRoute()

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def put(self) -> None:
        """Say that there is nothing."""
        raise NoSuchRoute()

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def patch(self) -> None:
        """Say that there is nothing."""
        raise NoSuchRoute()


ROUTES: list[tuple[str, type[Forwarder]]] = [
    (rf"{API}/environment", EnvironmentForwarder),
    (rf"{API}/plans", PlansForwarder),
    (rf"{API}/migrations", MigrationsForwarder),
    (rf"{API}/migrations/([^/]+)", MigrationForwarder),
    (rf"{API}/migrations/([^/]+)/(cancel|stop)", StopForwarder),
    (rf"{API}/migrations/([^/]+)/(retry|start)", RunForwarder),
    (rf"{API}/migrations/([^/]+)/log", LogForwarder),
    (rf"{API}/events", EventsForwarder),
    (rf"{API}/orphans", OrphansForwarder),
    (rf"{API}/doctor", DoctorForwarder),
    (rf"{API}/openapi\.yaml", ContractForwarder),
    (rf"{API}(?:/.*)?", UnknownForwarder),
]


class SecxopsExtension(ExtensionApp):
    """Shares running environments: forwards the sidebar's requests to this account's service."""

    name = NAME
    description = "Forward requests to the migration service of this account."

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
        self.handlers.extend((rf"/{route}", handler) for route, handler in ROUTES)

    async def stop_extension(self) -> None:
        """Close the connection; the service stays for others, and leaves when it is idle."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
