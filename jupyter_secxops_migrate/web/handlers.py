"""The handlers, made from the route table: a class for each path, a method for each verb.

Every answer that is no success is ``{code, message, hint, params}``. An exception that is none of
ours is answered with ``internal`` and logged by its type and place alone: its text may quote a
request.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any

from pydantic_core import to_json
from tornado.web import HTTPError, RequestHandler, stream_request_body

from ..errors import (
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    NoSuchRoute,
    RequestTooLarge,
    SecxopsError,
    Unauthenticated,
)
from ..routes import BODY_BYTES, JSON, STREAM, Route, by_path, pattern
from ..units import human_size
from .asked import Reader
from .door import Door
from .statuses import status_of
from .stream import EventStream

log = logging.getLogger(__name__)

# A body over the limit is read to its end up to here, because a client that is cut off while it
# sends may never see the answer; a longer one is cut off.
DRAIN_BYTES = 16 * BODY_BYTES
METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS")


@stream_request_body
class Handler(RequestHandler):
    """What all routes share: who asks, the body's limit, JSON, errors."""

    door: Door
    owner: str
    stream: EventStream | None = None
    _counted = False
    _reads_body = False

    def initialize(self, door: Door) -> None:
        """Start an empty body."""
        self.door = door
        self._body = bytearray()
        self._length = 0

    def set_default_headers(self) -> None:
        """Say nothing of the server's make; nothing here may be stored or sniffed."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def compute_etag(self) -> None:
        """Give no ETag: answers are small and change."""

    def prepare(self) -> None:
        """Let in only whom the identity names, addressed as this host is."""
        self.door.activity.begin()
        self._counted = True
        length = self.request.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > DRAIN_BYTES:
            raise RequestTooLarge(limit=BODY_BYTES, size=human_size(BODY_BYTES))
        self._reads_body = True
        try:
            self.admit()
        except SecxopsError as error:
            # Tornado calls the verb's method when the body was read. An answer before that would
            # close the connection on a client that still sends.
            refusal = error

            def refuse(*_: str) -> None:
                raise refusal

            setattr(self, (self.request.method or "get").lower(), refuse)

    def admit(self) -> None:
        """Find out who asks.

        Raises
        ------
        Forbidden
            The request is addressed to a name that is not this host's.
        Unauthenticated
            Nobody known asks.
        """
        allowed = self.door.allowed_hosts
        if allowed is not None and self.request.host.lower() not in allowed:
            raise Forbidden("The request is addressed to another host.", action="reach")
        owner = self.door.identity.authenticate(self.request)
        if owner is None:
            raise Unauthenticated()
        self.owner = owner

    def data_received(self, chunk: bytes) -> None:
        """Keep a body up to the limit; drop what is beyond it."""
        self._length += len(chunk)
        if self._length <= BODY_BYTES:
            self._body += chunk

    def on_finish(self) -> None:
        """Count the request as answered."""
        self._uncount()

    def on_connection_close(self) -> None:
        """Count it as over, too, when its client left, perhaps in the middle of its body."""
        super().on_connection_close()
        if self.stream is not None:
            self.stream.end()
        self._uncount()

    def _uncount(self) -> None:
        if self._counted:
            self._counted = False
            self.door.activity.end()

    def body(self) -> bytes:
        """Return the whole body.

        Raises
        ------
        RequestTooLarge
            It is over the limit.
        """
        if self._length > BODY_BYTES:
            raise RequestTooLarge(limit=BODY_BYTES, size=human_size(BODY_BYTES))
        return bytes(self._body)

    def _json(self, value: Any) -> None:
        self.set_header("Content-Type", JSON)
        self.finish(to_json(value))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with ``{code, message, hint, params}``."""
        error = self._error_of(status_code, kwargs.get("exc_info", (None, None, None))[1])
        self.set_status(status_of(error))
        if not self._reads_body:
            self.set_header("Connection", "close")
        if isinstance(error, MethodNotAllowed):
            self.set_header("Allow", ", ".join(self.allowed_methods()))
        if isinstance(error, Unauthenticated):
            self.set_header("WWW-Authenticate", 'token realm="secxops"')
        self._json(error.as_dict())

    def _error_of(self, status: int, exception: BaseException | None) -> SecxopsError:
        if isinstance(exception, SecxopsError):
            return exception
        method = self.request.method or ""
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            return MethodNotAllowed(method=method[:20])
        if status == HTTPStatus.NOT_FOUND:
            return NoSuchRoute()
        if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return InvalidRequest(reason="a part of it can't be read")
        return SecxopsError()

    @classmethod
    def allowed_methods(cls) -> list[str]:
        """Return the methods that this path has."""
        # How tornado (6.6) itself marks what a handler does not have.
        nothing = RequestHandler._unimplemented_method
        return [name for name in METHODS if getattr(cls, name.lower()) is not nothing]

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log an exception that is none of ours by its type and place."""
        if isinstance(value, SecxopsError | HTTPError):
            return
        place = "".join(traceback.format_tb(tb))
        log.error("%s in %s %s\n%s", typ, self.request.method, self.request.path, place)


class UnknownRoute(Handler):
    """Every path that is not a route."""

    def admit(self) -> None:
        """Tell whoever may ask that there is nothing."""
        super().admit()
        raise NoSuchRoute()


def handlers(table: Sequence[Route]) -> list[tuple[str, type[Handler]]]:
    """Return each path's regular expression and handler."""
    return [(pattern(path), _handler(path, routes)) for path, routes in by_path(table).items()]


def _handler(path: str, routes: Sequence[Route]) -> type[Handler]:
    methods = {route.method.lower(): _method(route) for route in routes}
    return type("RouteHandler", (Handler,), {"__doc__": f"``{path}``.", **methods})


def _method(route: Route) -> Callable[..., Awaitable[None]]:
    async def answer(self: Handler, *ids: str) -> None:
        if route.method == "POST" and not route.body:
            self.body()  # no more than any other's
        api = self.door.services.for_owner(self.owner, route.room)
        found = await route.call(api, Reader(self, route, ids, self.body))
        self.set_status(route.status)
        if route.status == HTTPStatus.NO_CONTENT:
            return
        if route.location:
            self.set_header("Location", self.door.root + route.location.format(found))
        if route.answer == STREAM:
            self.stream = EventStream(self, self.door.activity)
            await self.stream.send(found)
            return
        self.set_header("Content-Type", route.answer)
        if route.answer == JSON:
            found = to_json(found)
        elif isinstance(found, str):
            found = found.encode("utf-8", "replace")
        await self.finish(found)

    return answer
