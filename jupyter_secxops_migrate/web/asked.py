"""What a request says: ids, query, headers and body, each read by its form.

Its errors are what is wrong with a request; whether what it names is there, the API says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pkgutil import resolve_name
from typing import Any

from pydantic import BaseModel, ValidationError
from tornado.web import RequestHandler

from ..errors import InvalidRequest, NotFound
from ..fields import invalid
from ..paths import insist_on_absolute
from ..routes import JSON, Route

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_SEQUENCE = re.compile(r"[0-9]{1,18}")


class Reader:
    """Reads one request; `routes.Asked` says what each method is.

    Parameters
    ----------
    handler
        Has the request.
    route
        What was asked.
    ids
        Those in the path.
    whole
        Returns the whole body, or raises that it is too large.
    """

    def __init__(
        self, handler: RequestHandler, route: Route, ids: Sequence[str], whole: Callable[[], bytes]
    ) -> None:
        self._handler = handler
        self._route = route
        self._ids = ids
        self._whole = whole

    @property
    def id(self) -> str:
        """The first id in the path."""
        return self.ids()[0]

    def ids(self) -> Sequence[str]:
        """Return the ids in the path.

        Raises
        ------
        NotFound
            One can't be an id.
        """
        return [_checked(one) for one in self._ids]

    def body(self) -> Any:
        """Read the body as the route's model, by its exact types.

        Raises
        ------
        InvalidRequest
            It is not one.
        NoSuchPath
            A path of it is relative.
        """
        body = self._whole()
        model: type[BaseModel] = resolve_name(self._route.body)
        kind = self._handler.request.headers.get("Content-Type", "").partition(";")[0]
        if kind.strip().lower() != JSON:
            raise InvalidRequest(reason="the body must be application/json")
        try:
            asked = model.model_validate_json(body, strict=True)
        except ValidationError as error:
            raise invalid(error, model) from None
        insist_on_absolute(asked)
        return asked

    def key(self) -> str | None:
        """Return the Idempotency-Key.

        Raises
        ------
        InvalidRequest
            There are several, or it is not of its form.
        """
        keys = self._handler.request.headers.get_list("Idempotency-Key")
        if keys and not (len(keys) == 1 and _KEY.fullmatch(keys[0])):
            raise InvalidRequest(
                reason="Idempotency-Key must be 1 to 200 printable ASCII characters without spaces"
            )
        return keys[0] if keys else None

    def text(self, name: str) -> str | None:
        """Return a parameter as it is."""
        return self._handler.get_query_argument(name, None, strip=False)

    def texts(self, name: str) -> list[str]:
        """Return a parameter that may be there several times."""
        return self._handler.get_query_arguments(name, strip=False)

    def number(self, name: str, header: str = "") -> int | None:
        """Return a parameter that is a whole number; a header of that name is stronger.

        Raises
        ------
        InvalidRequest
            It is none.
        """
        said = self._handler.request.headers.get(header) if header else None
        text = said or self._handler.get_query_argument(name, None)
        if text is None:
            return None
        if not _SEQUENCE.fullmatch(text):
            raise InvalidRequest(reason=f"{name} must be a whole number of at most 18 digits")
        return int(text)

    def flag(self, name: str) -> bool:
        """Return a parameter that is true or false.

        Raises
        ------
        InvalidRequest
            It is neither.
        """
        said = self._handler.get_query_argument(name, "false")
        if said not in ("true", "false"):
            raise InvalidRequest(reason=f"{name} must be true or false")
        return said == "true"

    def named(self, name: str) -> str | None:
        """Return a parameter that is an id.

        Raises
        ------
        NotFound
            It can't be one.
        """
        said = self._handler.get_query_argument(name, None)
        return None if said is None else _checked(said)


def _checked(text: str) -> str:
    if not _ID.fullmatch(text):
        raise NotFound(id=text[:64])
    return text
