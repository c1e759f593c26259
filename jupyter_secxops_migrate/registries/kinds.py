"""Which class speaks to a registry of a kind: the table, and the door for others.

``oci`` is ours. Another package adds a kind as an entry point of the group
``jupyter_secxops_migrate.registries``; a site with a class of its own names that instead.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from .base import Registry, Renew
from .oci import OciRegistry

if TYPE_CHECKING:
    from .settings import NamedRegistry

GROUP = "jupyter_secxops_migrate.registries"
OCI = "oci"
OURS: dict[str, Callable[..., Registry]] = {OCI: OciRegistry}


def load(kind: str | type[Any]) -> Callable[..., Registry]:
    """Return what makes registries of a kind, as `Registry` says; a class is its own kind.

    Raises
    ------
    ValueError
        There is no such kind; the text lists those there are.
    """
    if not isinstance(kind, str):
        return kind
    installed = {point.name: point for point in entry_points(group=GROUP)}
    module, dot, name = kind.rpartition(".")
    try:
        if kind in OURS:
            return OURS[kind]
        if kind in installed:
            found: Callable[..., Registry] = installed[kind].load()
            return found
        if dot:
            found = getattr(import_module(module), name)
            return found
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"The kind of registry {kind!r} can't be loaded: {error}") from None
    known = ", ".join(sorted({*OURS, *installed}))
    raise ValueError(f"There is no kind of registry {kind!r}; there are: {known}")


def connect(
    named: NamedRegistry, user: str, password: str, ca: str, renew: Renew | None = None
) -> Registry:
    """Return the registry that an admin named.

    Parameters
    ----------
    named
        Which.
    user, password, ca, renew
        As `OciRegistry` takes them: what ``named`` refers to.

    Raises
    ------
    ValueError
        There is no such kind.
    RegistryFailed
        ``ca`` holds no certificates.
    """
    make = load(named.kind)
    # Only those who are asked for it need to know it.
    more = {"plain_http": True} if named.plain_http else {}
    found: Registry = make(named.place, user, password, ca, renew, **more)
    return found
