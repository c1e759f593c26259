"""What is kept of an operation: the record that people see, and a document that only its kind reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from .. import errors
from ..model import Finding, MigrationState, Step
from ..sharing.errors import AlreadySharing

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Document", "Draft", "Operation", "Schema", "finding"]


class Operation(Protocol):
    """What the record of every kind has: a pydantic model with these fields, and its own."""

    id: str
    owner: str
    name: str
    state: MigrationState
    created: datetime
    started: datetime | None
    finished: datetime | None
    attempt: int
    steps: list[Step]
    error: Finding | None

    @classmethod
    def model_validate(cls, obj: Any) -> Self:
        """Return the record that JSON tells."""
        ...

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return another one like it."""
        ...

    def model_dump(self, *, mode: str, exclude: set[str] | None = None) -> dict[str, Any]:
        """Return it as JSON."""
        ...


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
    is the error, of a ``name`` and an ``id``, for a name that another one has which has not ended.
    """

    kind: str
    record: type[R]
    document: type[D]
    observed: Collection[str] = field(default=frozenset())
    under_way: type[errors.SecxopsError] = AlreadySharing

    def draft(self, record: Any, document: Any) -> Draft[R, D]:
        """Return what was kept, validated."""
        return Draft(self.record.model_validate(record), self.document.model_validate(document))


def finding(error: errors.SecxopsError) -> Finding:
    """Return an error as records and plans carry it."""
    return Finding(**error.as_dict())
