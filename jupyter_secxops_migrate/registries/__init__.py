"""Where images are kept for other nodes: the registries that an admin named, and who speaks to them.

What is named here is loaded when it is asked for, so that this room's errors load nothing else.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Pushed, Registry, Renew
    from .oci import OciRegistry
    from .settings import NamedRegistry, Registries

__all__ = ["NamedRegistry", "OciRegistry", "Pushed", "Registries", "Registry", "Renew"]
_PLACES = {"NamedRegistry": "settings", "OciRegistry": "oci", "Registries": "settings"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(f".{_PLACES.get(name, 'base')}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
