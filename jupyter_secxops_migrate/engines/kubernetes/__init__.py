"""Kubernetes as an engine; loaded when its class is asked for, not for this room's errors."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import KubernetesEngine

__all__ = ["KubernetesEngine"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
