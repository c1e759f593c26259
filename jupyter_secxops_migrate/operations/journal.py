"""The one sequence of events, and the logs in it: how it is written and read.

Whose transaction that is, and what an operation's record says beside it, is the store's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from ..model import Event, Operation, Step, StepState, utcnow
from ..printable import printable, without_colours
from .tables import events

__all__ = ["Change", "Log", "last", "log_text", "now", "past"]

LOG_LINES = 20_000
"""How many lines of an operation's log are kept, the newest."""
LINE_LENGTH = 4096
_PRUNE_EVERY = 500


def now() -> str:
    """Return the time now, as the tables have it."""
    return utcnow().isoformat()


# --------------------------------------------------------------------------- written

_OLD_MEASURES = events.delete().where(
    events.c.operation == sa.bindparam("of"),
    events.c.kind == "progress",
    events.c.step == sa.bindparam("at"),
)


@dataclass
class Change:
    """A transaction that changes something, and the events that it says."""

    connection: sa.Connection
    rows: list[dict[str, Any]] = field(default_factory=list)
    replaced: set[tuple[str, str]] = field(default_factory=set)
    """Operations and steps whose measures so far are worth nothing any more."""

    def say(
        self, about: Operation, kind: str, body: Mapping[str, Any], step: str | None = None
    ) -> None:
        """Add an event."""
        self._add(about.id, about.owner, about.kind, kind, body, step)

    def say_state(self, record: Operation) -> None:
        """Add the event of a state."""
        self.say(record, "state", {"state": record.state.value})

    def say_steps(self, record: Operation, changed: Collection[Step]) -> None:
        """Add the events of steps; only the newest measure of one that runs is worth keeping."""
        for step in changed:
            name = _name_of(step)
            self.replaced.add((record.id, name))
            self.rows = [row for row in self.rows if not _measures(row, record.id, name)]
            runs = step.state is StepState.RUNNING and step.done is not None
            body = {"step": step.model_dump(mode="json")}
            self.say(record, "progress" if runs else "step", body, name)

    def say_deleted(self, operation: str, owner: str, of_kind: str) -> None:
        """Forget an operation's events, and add that it is gone."""
        self.connection.execute(events.delete().where(events.c.operation == operation))
        self._add(operation, owner, of_kind, "deleted", {})

    def _add(
        self,
        operation: str,
        owner: str,
        of_kind: str,
        kind: str,
        body: Mapping[str, Any],
        step: str | None = None,
    ) -> None:
        subject = {"kind": of_kind, "id": operation}
        self.rows.append(
            {
                "time": now(),
                "operation": operation,
                "owner": owner,
                "kind": kind,
                "step": step,
                "body": {**body, "subject": subject},
            }
        )

    def write(self) -> set[str]:
        """Write the events, last of all: who follows must find them in the order of their numbers.

        Returns their kinds.
        """
        if self.replaced:
            old = [{"of": operation, "at": step} for operation, step in sorted(self.replaced)]
            self.connection.execute(_OLD_MEASURES, old)
        if self.rows:
            self.connection.execute(events.insert(), self.rows)
        return {row["kind"] for row in self.rows}


def _measures(row: Mapping[str, Any], operation: str, step: str) -> bool:
    return (row["kind"], row["operation"], row["step"]) == ("progress", operation, step)


def _name_of(step: Step) -> str:
    return str(getattr(step.name, "value", step.name))


class Log:
    """Writes the logs of operations, and keeps them from growing without end."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}

    def add(self, change: Change, record: Operation, lines: Sequence[str]) -> None:
        """Add lines to an operation's log."""
        if not lines:
            return
        for line in lines:
            change.say(record, "log", {"line": printable(without_colours(line))[:LINE_LENGTH]})
        self._lines[record.id] = self._lines.get(record.id, 0) + len(lines)
        if self._lines[record.id] >= _PRUNE_EVERY:
            self._lines[record.id] = 0
            _prune(change.connection, record.id)


def _prune(connection: sa.Connection, operation: str) -> None:
    mine = (events.c.operation == operation) & (events.c.kind == "log")
    oldest = connection.scalar(
        sa.select(events.c.id).where(mine).order_by(events.c.id.desc()).offset(LOG_LINES).limit(1)
    )
    if oldest is not None:
        connection.execute(events.delete().where(mine, events.c.id <= oldest))


# --------------------------------------------------------------------------- read


def log_text(connection: sa.Connection, operation: sa.Select[Any]) -> str | None:
    """Return an operation's log, None without the operation; ``operation`` asks for its id."""
    found = operation.subquery()
    its_own = (events.c.operation == found.c.id) & (events.c.kind == "log")
    query = sa.select(events.c.body).select_from(found.outerjoin(events, its_own))
    bodies = connection.scalars(query.order_by(events.c.id)).all()
    return "".join(f"{body['line']}\n" for body in bodies if body is not None) if bodies else None


def last(connection: sa.Connection) -> int:
    """Return the sequence number of the newest event, 0 without any."""
    return connection.scalar(sa.select(sa.func.max(events.c.id))) or 0


def past(
    connection: sa.Connection, after: int, owner: str | None, operation: str | None, limit: int
) -> Sequence[tuple[str, Event]]:
    """Return at most so many events past a sequence number with their owners, oldest first."""
    query = sa.select(events).where(events.c.id > after).order_by(events.c.id).limit(limit)
    if owner is not None:
        query = query.where(events.c.owner == owner)
    if operation is not None:
        query = query.where(events.c.operation == operation)
    return [(row.owner, _event(row)) for row in connection.execute(query)]


def _event(row: Any) -> Event:
    kind: Any = "step" if row.kind == "progress" else row.kind
    return Event(id=row.id, time=row.time, migration=row.operation, kind=kind, **row.body)
