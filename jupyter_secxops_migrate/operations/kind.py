"""What a kind of operation declares, so that everything else can be done for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .. import errors
from ..model import Step
from .record import Document, Schema

__all__ = ["Branch", "DeclaredStep", "Do", "Kind", "WorkStep", "fresh_steps"]

WorkStep = Callable[..., Awaitable[Any]]
"""A coroutine function of an operation's id, and of strings: a step of the work."""


@dataclass(frozen=True)
class DeclaredStep:
    """A step as people see it, in the order of `Kind.steps`.

    Its work is the `WorkStep` of the same name, and what else shows itself as that step. ``beside`` are the
    steps that run at the same time: where one of them fails, this one has not failed but waits.
    """

    name: str
    beside: Collection[str] = field(default=frozenset())


@dataclass(frozen=True)
class Branch:
    """A step that runs beside others: its function, and the strings that it is called with."""

    step: WorkStep
    more: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The name of its function."""
        return name_of(self.step)


class Do(Protocol):
    """What a flow runs its steps with: each is recorded as done, and not done again after that."""

    def __call__(self, step: WorkStep, *more: str) -> Awaitable[Any]:
        """Run a step; tried again as its errors say. Its result is plain JSON."""
        ...

    def beside(self, *branches: Branch) -> Awaitable[None]:
        """Run steps side by side until all have ended; the first that fails ends the others."""
        ...


class Kind(Protocol):
    """A kind of operation."""

    @property
    def schema(self) -> Schema[Any, Any]:
        """How its operations are kept."""
        ...

    @property
    def steps(self) -> Sequence[DeclaredStep]:
        """What people see, in the order in which they see it."""
        ...

    @property
    def branches(self) -> Mapping[str, WorkStep]:
        """The functions of steps that run beside others, by their names."""
        ...

    @property
    def cancelled(self) -> type[errors.SecxopsError]:
        """The error of one that its owner cancelled."""
        ...

    async def flow(self, do: Do) -> None:
        """Do the work: the order of its steps, and nothing else. It is run again after a kill, so it decides
        only by what steps return."""
        ...

    async def remove(self, operation: str) -> None:
        """Remove all that an operation made; what is absent is removed."""
        ...

    def what_is_left(self, document: Document) -> Document:
        """Return what must be known of one that has ended, as long as something of it is left."""
        ...


def fresh_steps(kind: Kind) -> list[Step]:
    """Return the steps of an operation that has not begun."""
    return [Step(name=step.name) for step in kind.steps]


def name_of(step: WorkStep) -> str:
    """Return the name of a step's function."""
    return str(getattr(step, "__name__", "step"))
