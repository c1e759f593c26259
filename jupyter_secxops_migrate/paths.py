"""The paths that a request names: which of its fields are some, and that they become absolute.

Paths are text here: whether there is something, the service finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from .errors import NoSuchPath


class FromRoot:
    """Marks a path that may be relative to the Jupyter server's root folder; the service gets it absolute."""


def insist_on_absolute(asked: BaseModel) -> None:
    """Return if all paths of a request are absolute.

    A service has no root folder: the Jupyter server, which has one, makes paths absolute.

    Raises
    ------
    NoSuchPath
        One is relative.
    """

    def insist(path: str) -> str:
        if not path.startswith("/"):
            raise NoSuchPath(path=path, problem="is not an absolute path")
        return path

    # The keys of `mounts` are paths of the request's other fields.
    _changed_fields(type(asked), dict(asked), insist, keys=False)


def with_paths(
    model: type[BaseModel], document: Mapping[str, Any], change: Callable[[str], str]
) -> dict[str, Any]:
    """Return a document of this model, right or wrong, with each path that is `FromRoot` changed."""
    return _changed_fields(model, document, change, keys=True)


def _changed_fields(
    model: type[BaseModel], document: Mapping[str, Any], change: Callable[[str], str], *, keys: bool
) -> dict[str, Any]:
    hints = get_type_hints(model, include_extras=True)
    return {
        name: _changed(hints[name], value, change, keys) if name in hints else value
        for name, value in document.items()
    }


def _changed(hint: Any, value: Any, change: Callable[[str], str], keys: bool) -> Any:
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        if any(isinstance(mark, FromRoot) for mark in parts[1:]):
            return change(value) if isinstance(value, str) and value else value
        return _changed(parts[0], value, change, keys)
    if kind in (Union, UnionType):
        for part in parts:
            value = _changed(part, value, change, keys)
    elif kind is list and isinstance(value, list):
        return [_changed(parts[0], one, change, keys) for one in value]
    elif kind is dict and isinstance(value, dict):
        return {
            _changed(parts[0], name, change, keys) if keys else name: _changed(
                parts[1], one, change, keys
            )
            for name, one in value.items()
        }
    return value
