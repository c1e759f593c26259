"""Edits of operations that are made in one transaction: what each one changes, and what is written of that.

A record may be a network away, and an edit by itself is six ways there and back. Many at once are as many
ways as one. They are made in their order, each on what the one before has left; one that fails changes nothing
and leaves its neighbours alone. Who waits with whom is `writing`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from .. import errors
from .journal import Change, Log
from .record import Draft, Operation, Schema
from .tables import operations

__all__ = ["Edit", "columns", "make", "say_changes"]


@dataclass
class Edit:
    """A change of one operation, and how it ended.

    ``change`` is a function of the draft; ``lines`` go to the log before what it changes is said. With
    ``owner`` and ``kind`` it is somebody's, or of a kind, or there is none.
    """

    operation: str
    change: Callable[[Draft[Any, Any]], Any]
    owner: str | None = None
    kind: str | None = None
    lines: Sequence[str] = ()
    result: Any = None
    error: Exception | None = None


@dataclass
class _Kept:
    """One operation as the table has it, and as it is after the edits so far."""

    schema: Schema[Any, Any]
    owner: str
    read: Mapping[str, Any]
    draft: Draft[Any, Any]
    written: Mapping[str, Any]

    def may(self, edit: Edit) -> bool:
        """Whether an edit may see it."""
        mine = edit.owner in (None, self.owner)
        return mine and edit.kind in (None, self.schema.kind)

    def make(self, edit: Edit) -> Any:
        """Change it, or leave it as it was; return what the change does."""
        after = Draft(
            self.draft.record.model_copy(deep=True), self.draft.document.model_copy(deep=True)
        )
        result = edit.change(after)
        written = columns(self.schema, after)
        self.draft, self.written = after, written
        return result


def make(
    change: Change, schemas: Mapping[str, Schema[Any, Any]], log: Log, edits: Sequence[Edit]
) -> None:
    """Make edits, one after the other, and write what all of them have changed."""
    found, unread = _read(change.connection, schemas, {edit.operation for edit in edits})
    for edit in edits:
        try:
            if edit.operation in unread:
                raise unread[edit.operation]
            kept = found.get(edit.operation)
            if kept is None or not kept.may(edit):
                raise errors.NotFound(id=edit.operation)
            before = kept.draft.record
            edit.result = kept.make(edit)
        except Exception as error:
            edit.error = error
            continue
        # What the database refuses here ends all of them: part of this one's is written.
        log.add(change, kept.draft.record, edit.lines)
        say_changes(change, before, kept.draft.record)
    changed = [
        {**one.written, "of": name} for name, one in found.items() if one.written != one.read
    ]
    if changed:
        mine = operations.c.id == sa.bindparam("of")
        change.connection.execute(operations.update().where(mine), changed)


def _read(
    connection: sa.Connection, schemas: Mapping[str, Schema[Any, Any]], names: set[str]
) -> tuple[dict[str, _Kept], dict[str, Exception]]:
    """Return operations, and what is wrong with those that can't be read."""
    query = (
        sa.select(operations)
        .where(operations.c.id.in_(sorted(names)))
        .order_by(operations.c.id)  # whoever locks several does so in one order
        .with_for_update()
    )
    found: dict[str, _Kept] = {}
    unread: dict[str, Exception] = {}
    for row in connection.execute(query):
        if (schema := schemas.get(row.kind)) is None:
            continue
        try:
            draft = schema.draft(row.record, row.document)
        except ValueError as error:
            unread[row.id] = error
            continue
        read = {name: getattr(row, name) for name in columns(schema, draft)}
        found[row.id] = _Kept(schema, row.owner, read, draft, read)
    return found, unread


def say_changes(change: Change, before: Operation, after: Operation) -> None:
    """Add the events of what changed of an operation's state and steps."""
    if after.state is not before.state or after.attempt != before.attempt:
        change.say_state(after)
    change.say_steps(after, [step for step in after.steps if step not in before.steps])


def columns(schema: Schema[Any, Any], draft: Draft[Any, Any]) -> dict[str, Any]:
    """Return an operation as its table has it."""
    record = draft.record
    return {
        "id": record.id,
        "kind": schema.kind,
        "owner": record.owner,
        "name": record.name,
        "state": record.state.value,
        "created": record.created.isoformat(),
        "record": record.model_dump(mode="json", exclude=set(schema.observed)),
        "document": draft.document.model_dump(mode="json"),
    }
