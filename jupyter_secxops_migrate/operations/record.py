"""What is kept of an operation: the record that people see, and a document that only its kind reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from .. import errors
from ..model import Finding, Operation, Step

__all__ = ["Document", "Draft", "Operation", "Schema", "finding"]


class Document(BaseModel):
    """What the steps of one kind leave for each other; each kind derives its own.

    Every field has a default, so that a document of an earlier version can be read; ``version`` is raised
    where that is not enough, and a validator of the kind's brings an earlier one forward. ``left`` says
    that an operation has ended and something of it could not be removed yet.
    """

    model_config = ConfigDict(extra="ignore", validate_assignment=True)

    version: int = 1
    left: bool = False


R = TypeVar("R", bound=Operation)
D = TypeVar("D", bound=Document)


@dataclass
class Draft(Generic[R, D]):
    """An operation while it is looked at or changed."""

    record: R
    document: D

    def step(self, name: str) -> Step:
        """Return one step, to be changed in place."""
        return next(s for s in self.record.steps if s.name == name)


@dataclass(frozen=True)
class Schema(Generic[R, D]):
    """How the operations of one kind are kept.

    ``observed`` are fields of the record that are looked at afresh each time, and not kept. ``under_way``
    is the error, of a ``name`` and an ``id``, for a name that another one has which has not ended; without it
    several of one name may be under way.
    """

    record: type[R]
    document: type[D]
    observed: Collection[str] = field(default=frozenset())
    under_way: type[errors.SecxopsError] | None = None

    @property
    def kind(self) -> str:
        """The kind's name."""
        return self.record.kind

    def draft(self, record: Any, document: Any) -> Draft[R, D]:
        """Return what was kept, validated."""
        return Draft(self.record.model_validate(record), self.document.model_validate(document))


def finding(error: errors.SecxopsError) -> Finding:
    """Return an error as records and plans carry it."""
    return Finding(**error.as_dict())
