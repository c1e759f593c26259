"""The handlers: one class per path, one method per verb, each a call of the owner's API.

Every answer that is no success is ``{code, message, hint, params}``. An exception that is none of
ours is answered with ``internal`` and logged by its type and place alone: its text may quote a
request.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import json
import logging
import re
import traceback
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler, stream_request_body

from ..api import MigrationApi
from ..errors import (
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
from ..fields import invalid
from ..model import Event, PodSource, ShareRequest
from .statuses import status_of

if TYPE_CHECKING:
    from .application import ServiceApplication

log = logging.getLogger(__name__)

BODY_BYTES = 1024 * 1024
# A body over the limit is read to its end up to here, because a client that is cut off while it
# sends may never see the answer; a longer one is cut off.
DRAIN_BYTES = 16 * BODY_BYTES
KEEP_ALIVE_SECONDS = 15.0
RETRY_MILLISECONDS = 1000
METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_SEQUENCE = re.compile(r"[0-9]{1,18}")


@stream_request_body
class Handler(RequestHandler):
    """What all routes share: who asks, the body's limit, JSON, errors."""

    owner: str
    _counted = False
    _reads_body = False

    @property
    def app(self) -> ServiceApplication:
        """The application, as the type it is."""
        return cast("ServiceApplication", self.application)

    @property
    def api(self) -> MigrationApi:
        """The API of whoever asks."""
        return self.app.services.for_owner(self.owner)

    def initialize(self) -> None:
        """Start an empty body."""
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
        self.app.activity.begin()
        self._counted = True
        length = self.request.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > DRAIN_BYTES:
            raise RequestTooLarge(limit=BODY_BYTES)
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
        allowed = self.app.allowed_hosts
        if allowed is not None and self.request.host.lower() not in allowed:
            raise Forbidden("The request is addressed to another host.", action="reach")
        owner = self.app.identity.authenticate(self.request)
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
        self._uncount()

    def _uncount(self) -> None:
        if self._counted:
            self._counted = False
            self.app.activity.end()

    def body(self) -> bytes:
        """Return the whole body.

        Raises
        ------
        RequestTooLarge
            It is over the limit.
        """
        if self._length > BODY_BYTES:
            raise RequestTooLarge(limit=BODY_BYTES)
        return bytes(self._body)

    def share_request(self) -> ShareRequest:
        """Read the body as a `ShareRequest`, by its exact types.

        Raises
        ------
        InvalidRequest
            It is not one.
        NoSuchPath
            A path of it is relative.
        """
        body = self.body()
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise InvalidRequest(reason="the body must be application/json")
        try:
            asked = ShareRequest.model_validate_json(body, strict=True)
        except ValidationError as error:
            raise invalid(error) from None
        return _rooted(asked)

    def number(self, text: str, name: str) -> int:
        """Read a sequence number.

        Raises
        ------
        InvalidRequest
            It is none.
        """
        if not _SEQUENCE.fullmatch(text):
            raise InvalidRequest(reason=f"{name} must be a whole number of at most 18 digits")
        return int(text)

    def answer(self, value: BaseModel | Sequence[BaseModel], status: int = HTTPStatus.OK) -> None:
        """Finish with JSON."""
        self.set_status(status)
        self._json(value)

    def _json(self, value: Any) -> None:
        self.set_header("Content-Type", "application/json")
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


def _rooted(asked: ShareRequest) -> ShareRequest:
    """Return the request if all its paths are absolute.

    A service has no root folder: the Jupyter server, which has one, makes paths absolute.
    """
    more = [] if asked.front is None else [asked.front]
    for path in (asked.project, *asked.data, *asked.unsaved, *more):
        if not path.startswith("/"):
            raise NoSuchPath(path=path, problem="is not an absolute path")
    return asked


class UnknownRoute(Handler):
    """Every path that is not a route."""

    def admit(self) -> None:
        """Tell whoever may ask that there is nothing."""
        super().admit()
        raise NoSuchRoute()


class EnvironmentHandler(Handler):
    """``/environment``."""

    async def get(self) -> None:
        """Observe the environment of a project."""
        pod, container = (
            self.get_query_argument(name, None, strip=False) for name in ("pod", "container")
        )
        try:
            asked = ShareRequest(
                project=self.get_query_argument("project", "", strip=False),
                data=self.get_query_arguments("data", strip=False),
                source=None if pod is None else PodSource(pod=pod, container=container),
            )
        except ValidationError as error:
            raise invalid(error) from None
        if pod is None and container is not None:
            raise InvalidRequest(reason="container: it needs a pod", fields=["container"])
        _rooted(asked)
        self.answer(await self.api.environment(asked.project, asked.data, asked.source))


class PlansHandler(Handler):
    """``/plans``."""

    async def post(self) -> None:
        """Decide what a share would do."""
        self.answer(await self.api.plan(self.share_request()))


class MigrationsHandler(Handler):
    """``/migrations``."""

    async def get(self) -> None:
        """List the owner's."""
        asked = self.get_query_argument("limit", None)
        limit = None if asked is None else self.number(asked, "limit")
        if limit == 0:
            raise InvalidRequest(reason="limit must be 1 or more")
        before = self.get_query_argument("before", None)
        self.answer(await self.api.list(limit, None if before is None else _checked(before)))

    async def post(self) -> None:
        """Record a share and queue it."""
        keys = self.request.headers.get_list("Idempotency-Key")
        if keys and not (len(keys) == 1 and _KEY.fullmatch(keys[0])):
            raise InvalidRequest(
                reason="Idempotency-Key must be 1 to 200 printable ASCII characters without spaces"
            )
        migration = await self.api.share(self.share_request(), keys[0] if keys else None)
        self.set_header("Location", f"{self.app.root}/migrations/{migration.id}")
        self.answer(migration, HTTPStatus.ACCEPTED)


def _checked(migration: str) -> str:
    if not _ID.fullmatch(migration):
        raise NotFound(id=migration[:64])
    return migration


class MigrationHandler(Handler):
    """``/migrations/{id}``."""

    async def get(self, migration: str) -> None:
        """Show one; its address carries its token, because the owner asks."""
        changes = self.get_query_argument("changes", "false")
        if changes not in ("true", "false"):
            raise InvalidRequest(reason="changes must be true or false")
        found = await self.api.get(_checked(migration), token=True, changes=changes == "true")
        self.answer(found)

    async def delete(self, migration: str) -> None:
        """Delete one."""
        await self.api.delete(_checked(migration))
        self.set_status(HTTPStatus.NO_CONTENT)


class ActionHandler(Handler):
    """``/migrations/{id}/cancel|retry|start|stop``."""

    STATUSES: ClassVar[dict[str, HTTPStatus]] = {
        "cancel": HTTPStatus.ACCEPTED,
        "retry": HTTPStatus.ACCEPTED,
        "start": HTTPStatus.OK,
        "stop": HTTPStatus.OK,
    }

    async def post(self, migration: str, action: str) -> None:
        """Ask for it."""
        self.body()
        call = {
            "cancel": self.api.cancel,
            "retry": self.api.retry,
            "start": self.api.start,
            "stop": self.api.stop,
        }[action]
        self.answer(await call(_checked(migration)), self.STATUSES[action])


class LogHandler(Handler):
    """``/migrations/{id}/log``."""

    async def get(self, migration: str) -> None:
        """Send the log so far as text."""
        text = await self.api.log(_checked(migration))
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        await self.finish(text.encode("utf-8", "replace"))


class OrphansHandler(Handler):
    """``/orphans``."""

    async def get(self) -> None:
        """List what no share accounts for."""
        self.answer(await self.api.orphans())

    async def post(self) -> None:
        """Take the shares among them into the record again."""
        self.answer(await self.api.adopt())

    async def delete(self) -> None:
        """Remove it; say what was removed."""
        self.answer(await self.api.sweep())


class DoctorHandler(Handler):
    """``/doctor``."""

    async def get(self) -> None:
        """Check the service and its surroundings."""
        self.answer(await self.api.doctor())


class ContractHandler(Handler):
    """``/openapi.yaml``."""

    async def get(self) -> None:
        """Send the contract."""
        text = importlib.resources.files(__package__).joinpath("openapi.yaml").read_bytes()
        self.set_header("Content-Type", "application/yaml")
        await self.finish(text)


class EventsHandler(Handler):
    """``/events``: one stream of server-sent events, kept alive, that can be taken up again.

    Each event is ``id``, ``event`` (its kind) and ``data`` (its JSON). ``event: end`` says that
    there will be no more (the migration asked for has ended); a stream that ends without it was
    interrupted, and the client comes back with ``Last-Event-ID``. ``event: failure`` carries an
    error.
    """

    _ended: asyncio.Future[None] | None = None
    _quiet = True

    def on_connection_close(self) -> None:
        """End when the client has gone."""
        super().on_connection_close()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def get(self) -> None:
        """Send events until nobody wants them."""
        migration = self.get_query_argument("migration", None)
        last = self.request.headers.get("Last-Event-ID") or self.get_query_argument("after", None)
        after = None if last is None else self.number(last, "after")
        if migration is not None:
            # An id that is not the owner's is answered as such, before the stream is one.
            await self.api.get(_checked(migration))
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")
        with self.app.activity.stream() as ended:
            self._ended = ended
            events = self.api.events(migration, after)
            try:
                await self._send(f"retry: {RETRY_MILLISECONDS}\n\n")
                await self._pump(events, ended)
            except StreamClosedError:
                pass
            except SecxopsError as error:
                await self._send(_frame("failure", json.dumps(error.as_dict())))
            finally:
                await _close(events)

    async def _pump(self, events: AsyncIterator[Event], ended: asyncio.Future[None]) -> None:
        sending = asyncio.create_task(self._send_all(events))
        both: set[asyncio.Future[Any]] = {sending, ended}
        try:
            while not ended.done():
                self._quiet = True
                await asyncio.wait(
                    both,
                    timeout=KEEP_ALIVE_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if ended.done():
                    return
                if sending.done():
                    sending.result()
                    await self._send(_frame("end", "{}"))
                    return
                if self._quiet:
                    await self._send(": \n\n")
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send_all(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            self._quiet = False
            await self._send(f"id: {event.id}\n{_frame(event.kind, event.text)}")

    async def _send(self, text: str) -> None:
        self.write(text)
        await self.flush()


def _frame(kind: str, data: str) -> str:
    return f"event: {kind}\ndata: {data}\n\n"


async def _close(events: AsyncIterator[Event]) -> None:
    close = getattr(events, "aclose", None)
    if close is not None:
        await close()


ROUTES: list[tuple[str, type[Handler]]] = [
    ("/environment", EnvironmentHandler),
    ("/plans", PlansHandler),
    ("/migrations", MigrationsHandler),
    ("/migrations/([^/]+)", MigrationHandler),
    ("/migrations/([^/]+)/(cancel|retry|start|stop)", ActionHandler),
    ("/migrations/([^/]+)/log", LogHandler),
    ("/events", EventsHandler),
    ("/orphans", OrphansHandler),
    ("/doctor", DoctorHandler),
    ("/openapi.yaml", ContractHandler),
]
