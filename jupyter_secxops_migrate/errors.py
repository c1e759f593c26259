"""Every way in which the product says no, as one exception tree: its base, and what any room may say.

Each error has a stable ``code`` (scripts and the browser's translations key on it), a
sentence that says what happened, and a next action. What only one room says stands in the room's own
``errors.py``, which imports nothing but this module, so that whoever is sent an error can load it
(`rooms`). The English sentences are in these modules and nowhere else: ``scripts/catalogues.py`` makes
the panel's from them, to be translated. A client that speaks another language makes its own from
``code`` and ``params``.

The tree::

    SecxopsError
     ├─ PermanentError              trying again changes nothing
     │   ├─ RequestError            the caller asked for something impossible
     │   ├─ Refusal                 the plan refuses, nothing was touched
     │   └─ StepFailed              a step of a migration ended badly
     └─ TemporaryError              the same call may succeed later

``params`` are plain JSON values and never hold a secret: whoever raises an error puts only
what may be logged into it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from .printable import counted, one_line, printable

JsonScalar = str | int | float | bool | None
Param = JsonScalar | list[str]
_TYPED = re.compile(r" \(`?(?:jupyter secxops |--)[^()]*\)")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)


class SecxopsError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    cause
        What is known about why, in words, without secrets; appended to the message.
    **params
        JSON values that the class's ``text`` and ``hint_text`` name in braces (`fill`); kept as they are.

    Attributes
    ----------
    code
        Stable identifier, ``snake_case``.
    message
        What happened, one or two sentences.
    hint
        What to do now, and who can do it.
    """

    code: ClassVar[str] = "internal"
    text: ClassVar[str] = "Something went wrong inside the secxops service."
    hint_text: ClassVar[str] = (
        "Run `jupyter secxops doctor`; the service's log file (its path is shown there) has details."
    )

    panel_hint: ClassVar[str | None] = None
    """The hint where people click instead of typing, if `clicked` does not make it of ``hint_text``."""

    _by_code: ClassVar[dict[str, type[SecxopsError]] | None] = None
    """The classes by their codes; None until it is asked for, and after each class that is defined."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        SecxopsError._by_code = None

    def __init__(self, cause: str | None = None, **params: Param) -> None:
        params = {name: _short(value) for name, value in params.items()}
        self.params: dict[str, Param] = params
        message = fill(self.text, params)
        if cause:
            message = f"{message} {one_line(_short(cause))}"
        self.message = message
        self.hint = fill(self.hint_text, params)
        super().__init__(message)

    def as_dict(self) -> dict[str, Any]:
        """Return ``{code, message, hint, params}``, the form that REST and ``--json`` use."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "params": self.params,
        }

    @staticmethod
    def from_dict(body: dict[str, Any]) -> SecxopsError:
        """Return the error that `as_dict` gave, for a client that was sent it.

        A code that this version does not know becomes a plain `SecxopsError` with its message.
        """
        kinds = SecxopsError._by_code
        if kinds is None:
            # Rooms that this loads define classes, so it is kept only once it is whole.
            kinds = {cls.code: cls for cls in SecxopsError.catalogue()}
            SecxopsError._by_code = kinds
        found = kinds.get(str(body.get("code")))
        if found is None:
            return SecxopsError(str(body.get("message", "")))
        error = found.__new__(found)
        Exception.__init__(error, str(body.get("message", "")))
        error.message = str(body.get("message", ""))
        error.hint = str(body.get("hint", ""))
        params = body.get("params")
        error.params = params if isinstance(params, dict) else {}
        return error

    @classmethod
    def catalogue(cls) -> Iterator[type[SecxopsError]]:
        """Yield this class and every subclass that has a code of its own, those of all rooms too."""
        from .rooms import ROOMS, parts

        for _ in parts("errors", ROOMS):
            pass
        yield from cls._known()

    @classmethod
    def _known(cls) -> Iterator[type[SecxopsError]]:
        if "code" in vars(cls):
            yield cls
        for sub in cls.__subclasses__():
            yield from sub._known()


_LONGEST = 4096


def _short(value: Any) -> Any:
    """Return a parameter whose texts are not too long: what failed may have said anything."""
    if isinstance(value, str) and len(value) > _LONGEST:
        return value[:_LONGEST] + "…"
    if isinstance(value, list):
        return [_short(item) for item in value]
    return value


def fill(sentence: str, params: Mapping[str, Any]) -> str:
    """Return a sentence with its parameters, as people may read them (`printable`).

    ``{name}`` is a parameter, ``{count:file|files}`` a number with the word for one and for others. A
    missing parameter shows its own name.
    """
    return sentence.format_map(_Readable(params))


def clicked(hint: str) -> str:
    """Return a hint as it reads where people click: without what they could type, in parentheses.

    Examples
    --------
    >>> clicked("Delete old shares (`jupyter secxops list`), or ask for less (--cpu, --gpu).")
    'Delete old shares, or ask for less.'
    """
    return _TYPED.sub("", hint)


class _Readable(dict[str, Any]):
    """Parameters as a sentence shows them; a missing one shows its own name."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        super().__init__({name: _shown(value) for name, value in params.items()})

    def __missing__(self, key: str) -> str:
        return _Text(f"<{key}>")


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return _Text(", ".join(map(printable, map(str, value))))
    if isinstance(value, str):
        return _Text(one_line(value) if "\n" in value else printable(value))
    return _Count(value) if type(value) is int else value


class _Count(int):
    """A number that knows the words for one and for others."""

    def __format__(self, words: str) -> str:
        one, several, many = words.partition("|")
        return counted(self, one, many) if several else super().__format__(words)


class _Text(str):
    """A text, also where a number should have been; one that is a number, as ``2.5`` is, has words too."""

    def __format__(self, words: str) -> str:
        one, several, many = words.partition("|")
        if not several or not _NUMBER.fullmatch(self):
            return str(self)
        return f"{self} {one if float(self) == 1 else many}"


class PermanentError(SecxopsError):
    """Trying the same again changes nothing."""


class Retry(Enum):
    """What a service does by itself about a temporary error; the type of the error says it."""

    NEVER = "never"
    """Nothing: what failed took its whole time, or somebody must do something first."""
    SOON = "soon"
    """Try a few times, seconds apart."""
    WHILE_AWAY = "while away"
    """Try for as long as the patience lasts: somebody is away who usually comes back by himself."""


class TemporaryError(SecxopsError):
    """The same call may succeed later; a retry is worth it."""

    retry: ClassVar[Retry] = Retry.SOON


# --------------------------------------------------------------------------- requests


class RequestError(PermanentError):
    """The caller asked for something that can't be done as asked."""


class InvalidRequest(RequestError):
    """A body, parameter or reference is not of its form."""

    code = "invalid_request"
    text = "The request is not valid: {reason}."
    hint_text = "Correct it and send it again; the reference in the documentation lists the fields."
    panel_hint = "Correct it and try again."


class RequestTooLarge(RequestError):
    """A body over the limit."""

    code = "request_too_large"
    text = "The request is larger than {size}."
    hint_text = "Send only the documented fields."


class Unauthenticated(RequestError):
    """No token, or one that nobody has."""

    code = "unauthenticated"
    text = "You are not signed in."
    hint_text = "Sign in to Jupyter, or send its token."


class Forbidden(RequestError):
    """The caller is known and may not do this."""

    code = "forbidden"
    text = "You may not do this."
    hint_text = "Ask the admin of this Jupyter for the right to {action} environments."


class NotFound(RequestError):
    """No such object, or one that belongs to somebody else."""

    code = "not_found"
    text = "You have no share {id}."
    hint_text = "`jupyter secxops list` shows yours."
    panel_hint = "It may have been deleted elsewhere; the list shows yours."


class NoSuchRoute(RequestError):
    """A URL that this service does not have."""

    code = "no_such_route"
    text = "There is nothing at this address."
    hint_text = (
        "The reference in the documentation lists the routes; `openapi.yaml` is beside them."
    )


class MethodNotAllowed(RequestError):
    """A URL that is there, asked in a way that it does not know."""

    code = "method_not_allowed"
    text = "This address does not take {method}."
    hint_text = "The answer's Allow header lists what it takes."


class NoSuchPath(RequestError):
    """A project or data path that does not exist or is not a folder."""

    code = "no_such_path"
    text = "{path} {problem}."
    hint_text = "Check the path, and whether the account of the service may read it."
    panel_hint = "Check the path; relative paths start at the folder in which Jupyter was started."

    def __init__(self, cause: str | None = None, **params: Param) -> None:
        super().__init__(cause, **{"problem": "is not a folder that can be read here", **params})


class WrongState(RequestError):
    """The share or its environment is not in a state that allows this."""

    code = "wrong_state"
    text = "This can't be done now: the share's state is {state}, not {wanted}."
    hint_text = (
        "If it is still under way, wait or cancel it first; if it has ended, share again for a "
        "new copy."
    )


# --------------------------------------------------------------------------- the plan, its steps, engines


class Refusal(PermanentError):
    """The plan refuses before anything was touched."""


class StepFailed(PermanentError):
    """A step of an operation ended badly; what it left was removed."""


class EngineFailed(TemporaryError):
    """The engine answered with an error of its own."""

    code = "engine_failed"
    text = "The container engine could not {action}: {reason}."
    hint_text = "Run `jupyter secxops doctor`, then retry."


# --------------------------------------------------------------------------- moved

if not TYPE_CHECKING:  # Whoever checks types is told at once.

    def __getattr__(name: str) -> Any:
        """Return an error that has moved to its room: engines and strategies of others may still ask here."""
        # Python itself asks for ``__path__``, also in the tools image, where there are no rooms.
        if not name[:1].isupper():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .rooms import ROOMS, parts

        for part in parts("errors", ROOMS):
            found = vars(part).get(name)
            if getattr(found, "__module__", None) == part.__name__:
                warnings.warn(
                    f"{__name__}.{name} is {part.__name__}.{name} now; the next release has it only there.",
                    DeprecationWarning,
                    stacklevel=2,
                )
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
