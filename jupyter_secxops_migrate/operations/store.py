"""The durable record: operations, and the one sequence of events that people follow.

SQLite for one user, PostgreSQL for many; the schema's changes are alembic's, applied on start. An
operation is kept as the document that REST gives, beside the columns that are searched by; `edit` is the
only way to change it, and says what changed as events, which are `journal`'s. It knows nothing of workflows, nor of what a
kind does (`record.Schema` is all that it is told). Every call blocks: on an event loop, `records.Records`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from .. import errors
from ..hosts.errors import SettingsUnusable
from ..model import Event, MigrationState, utcnow
from . import editing, journal
from .database import place, speak_our_words
from .editing import Edit
from .errors import IdempotencyConflict, StoreNewer
from .journal import Change, Log, now
from .record import Document, Draft, Operation, Schema
from .tables import about, events, operations

CONNECTIONS = 10
"""How many ways to the database are kept open."""

BUSY = (MigrationState.RUNNING, MigrationState.CANCELLING)
UNDER_WAY = (MigrationState.QUEUED, *BUSY)
ENDED_BADLY = (MigrationState.FAILED, MigrationState.CANCELLED)

Listener = Callable[[Collection[str]], None]


class Store:
    """The tables.

    Parameters
    ----------
    url
        An SQLAlchemy URL.
    schemas
        The kinds of operations that it keeps.

    Raises
    ------
    SettingsUnusable
        ``url`` is none.
    """

    def __init__(self, url: str, schemas: Sequence[Schema[Any, Any]]) -> None:
        self.url = _database(url)
        self.schemas = {schema.kind: schema for schema in schemas}
        # One more than are kept open would be opened for each use: some round trips before the first question.
        options: dict[str, Any] = {"pool_size": CONNECTIONS}
        if self.url.get_backend_name() == "sqlite":
            options["connect_args"] = {"timeout": 30, "check_same_thread": False}
        try:
            self.engine = sa.create_engine(self.url, **options)
        except (sa.exc.ArgumentError, ImportError) as error:
            raise SettingsUnusable(
                reason=f"SecxopsService.store_url names a database that can't be used here ({error})"
            ) from None
        if self.url.get_backend_name() == "sqlite":
            sa.event.listen(self.engine, "connect", _tune_sqlite)
        speak_our_words(self.engine)
        self.shared = self.url.get_backend_name() != "sqlite"
        """Whether other processes may write to it as well."""
        # A look is one question: a transaction around it would be two more ways to a server and back.
        self._looking = (
            self.engine.execution_options(isolation_level="AUTOCOMMIT")
            if self.shared
            else self.engine
        )
        self._writing = threading.RLock()
        self._listeners: list[Listener] = []
        self._log = Log()

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return place(self.url)

    def open(self) -> None:
        """Bring the schema up to date.

        Raises
        ------
        StoreNewer, StoreCorrupt, StoreReadOnly, StoreFull, StoreFailed
            It can't be used.
        """
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
        with self.engine.begin() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError:  # a revision that this version does not have
                raise StoreNewer(store=self.place) from None
            self._insist_on_writing(connection)

    def _insist_on_writing(self, connection: sa.Connection) -> None:
        """Find out now, not in the middle of an operation, whether this may be written."""
        connection.execute(about.delete().where(about.c.name == "written"))
        connection.execute(about.insert().values(name="written", value=now()))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener``, in any thread, after every change; returns what ends that.

        It is told the kinds of the events that the change made: ``state``, ``step``, ``log`` …
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def identity(self, fresh: str = "") -> str:
        """Return what tells this store from others; ``fresh`` is kept the first time, if it is given."""
        with self._change() as change:
            found = change.connection.scalar(
                sa.select(about.c.value).where(about.c.name == "store")
            )
            if found is None and fresh:
                change.connection.execute(about.insert().values(name="store", value=fresh))
            return str(found or fresh)

    # ------------------------------------------------------------------ operations

    def add(
        self,
        kind: str,
        record: Operation,
        key: str | None = None,
        body: str = "",
        *,
        named: bool = True,
    ) -> Operation:
        """Record a new operation; the same key gives the one that is there.

        ``named`` says that its owner chose the name; any other gets a number where it is taken.

        Raises
        ------
        IdempotencyConflict
            The key came with another body before.
        errors.SecxopsError
            One of that name is under way (`Schema.under_way`).
        """
        schema = self.schemas[kind]
        with self._change() as change:
            if key is not None:
                found = change.connection.execute(
                    sa.select(operations.c.record, operations.c.body_digest).where(
                        operations.c.owner == record.owner,
                        operations.c.kind == kind,
                        operations.c.idempotency_key == key,
                    )
                ).first()
                if found is not None:
                    if found.body_digest != body:
                        raise IdempotencyConflict()
                    earlier: Operation = schema.record.model_validate(found.record)
                    return earlier
            if named:
                _insist_not_under_way(change.connection, schema, record.owner, record.name)
            else:
                free = _free(record.name, _taken(change.connection, kind, record.owner))
                record = record.model_copy(update={"name": free})
            self._insert(change, schema, record, schema.document(), key, body)
        return record

    def take_back(self, kind: str, record: Operation, document: Document) -> Operation:
        """Record an operation whose record was lost, with its document; its name may get a number."""
        with self._change() as change:
            free = _free(record.name, _taken(change.connection, kind, record.owner))
            record = record.model_copy(update={"name": free})
            self._insert(change, self.schemas[kind], record, document)
        return record

    def _insert(
        self,
        change: Change,
        schema: Schema[Any, Any],
        record: Operation,
        document: Document,
        key: str | None = None,
        body: str | None = None,
    ) -> None:
        change.connection.execute(
            operations.insert().values(
                **editing.columns(schema, Draft(record, document)),
                idempotency_key=key,
                body_digest=body,
            )
        )
        change.say_state(record)

    def free_name(self, kind: str, owner: str, name: str) -> str:
        """Return the name that an operation gets which is not given one, where ``name`` is its default."""
        with self._looking.connect() as connection:
            return _free(name, _taken(connection, kind, owner))

    def insist_not_under_way(self, kind: str, owner: str, name: str) -> None:
        """Fail, with `Schema.under_way`, where an operation of that name is under way."""
        with self._looking.connect() as connection:
            _insist_not_under_way(connection, self.schemas[kind], owner, name)

    def get(self, operation: str, owner: str | None = None, kind: str | None = None) -> Operation:
        """Return an operation, of this owner and this kind if one is given.

        Raises
        ------
        errors.NotFound
            There is none, or it is somebody else's.
        """
        record: Operation = self.read(operation, owner, kind).record
        return record

    def read(
        self, operation: str, owner: str | None = None, kind: str | None = None
    ) -> Draft[Any, Any]:
        """Return an operation and its document; changes to them are not kept."""
        with self._looking.connect() as connection:
            row = connection.execute(_by_id(operation, owner, kind)).first()
        return self._draft(row, operation)

    def kind(self, operation: str) -> str:
        """Return the kind of an operation; ``errors.NotFound`` without one."""
        query = sa.select(operations.c.kind).where(operations.c.id == operation)
        with self._looking.connect() as connection:
            found = connection.scalar(query)
        if found is None:
            raise errors.NotFound(id=operation)
        return str(found)

    def _draft(self, row: Any, operation: str) -> Draft[Any, Any]:
        if row is None or row.kind not in self.schemas:
            raise errors.NotFound(id=operation)
        return self.schemas[row.kind].draft(row.record, row.document)

    def list(
        self,
        kind: str,
        owner: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> Sequence[Operation]:
        """Return operations, newest first; at most ``limit``, and those older than ``before``.

        Raises
        ------
        errors.NotFound
            There is no ``before``, or it is somebody else's.
        """
        query = (
            sa.select(operations.c.record)
            .where(operations.c.kind == kind)
            .order_by(operations.c.created.desc(), operations.c.id.desc())
        )
        if owner is not None:
            query = query.where(operations.c.owner == owner)
        if before is not None:
            # In the same question, because each is a way to the database and back.
            other = operations.alias()
            last = sa.select(other.c.created, other.c.id).where(other.c.id == before)
            if owner is not None:
                last = last.where(other.c.owner == owner)
            place = sa.tuple_(operations.c.created, operations.c.id)
            query = query.where(place < last.where(other.c.kind == kind).scalar_subquery())
        with self._looking.connect() as connection:
            rows = connection.scalars(query.limit(limit)).all()
        if before is not None and not rows:
            self.get(before, owner, kind)  # none is older, or there is no such one
        return [self.schemas[kind].record.model_validate(row) for row in rows]

    def ids(
        self, *states: MigrationState, owner: str | None = None, kind: str | None = None
    ) -> Sequence[str]:
        """Return the ids of operations in these states, or of all, oldest first."""
        query = sa.select(operations.c.id).order_by(operations.c.created)
        if states:
            query = query.where(operations.c.state.in_([s.value for s in states]))
        if owner is not None:
            query = query.where(operations.c.owner == owner)
        if kind is not None:
            query = query.where(operations.c.kind == kind)
        with self._looking.connect() as connection:
            return list(connection.scalars(query))

    def documents(self, kind: str, *, but: str | None = None) -> Mapping[str, Any]:
        """Return the documents of all operations of a kind that have not ended badly, by id."""
        query = sa.select(operations.c.id, operations.c.document).where(
            operations.c.kind == kind,
            operations.c.state.not_in([state.value for state in ENDED_BADLY]),
        )
        if but is not None:
            query = query.where(operations.c.id != but)
        with self._looking.connect() as connection:
            rows = connection.execute(query).all()
        return {row.id: self.schemas[kind].document.model_validate(row.document) for row in rows}

    def next_in_line(self, workers: int) -> str | None:
        """Return the one that was queued first, if fewer than ``workers`` are under way."""
        with self._looking.connect() as connection:
            return _next_in_line(connection, workers)

    def take_turn(self, operation: str, workers: int) -> bool:
        """Let an operation begin if it is its turn; return whether it is not queued any more."""

        def begin(draft: Draft[Any, Any], connection: sa.Connection) -> bool:
            record = draft.record
            if record.state is MigrationState.QUEUED:
                if _next_in_line(connection, workers) != operation:
                    return False
                record.state = MigrationState.RUNNING
            if record.state is MigrationState.RUNNING:
                record.started = record.started or utcnow()
            return True

        with self._change() as change:
            schema, draft = self._to_change(change, operation)
            before = draft.record.model_copy(deep=True)
            begun = begin(draft, change.connection)
            self._keep(change, schema, before, draft)
        return begun

    @contextmanager
    def edit(
        self,
        operation: str,
        owner: str | None = None,
        kind: str | None = None,
        lines: Sequence[str] = (),
    ) -> Iterator[Draft[Any, Any]]:
        """Change an operation; what changed of its state and steps becomes events, after log ``lines``."""
        with self._change() as change:
            schema, draft = self._to_change(change, operation, owner, kind)
            before = draft.record.model_copy(deep=True)
            yield draft
            self._log.add(change, draft.record, lines)
            self._keep(change, schema, before, draft)

    def edit_all(self, edits: Sequence[Edit]) -> None:
        """Make edits in their order and in one transaction; each says itself how it ended."""
        if edits:
            with self._change() as change:
                editing.make(change, self.schemas, self._log, edits)

    def _to_change(
        self, change: Change, operation: str, owner: str | None = None, kind: str | None = None
    ) -> tuple[Schema[Any, Any], Draft[Any, Any]]:
        query = _by_id(operation, owner, kind).with_for_update()
        row = change.connection.execute(query).first()
        draft = self._draft(row, operation)
        assert row is not None
        return self.schemas[row.kind], draft

    def _keep(
        self, change: Change, schema: Schema[Any, Any], before: Operation, draft: Draft[Any, Any]
    ) -> None:
        after = draft.record
        change.connection.execute(
            operations.update()
            .where(operations.c.id == after.id)
            .values(**editing.columns(schema, draft))
        )
        editing.say_changes(change, before, after)

    def remove(self, operation: str) -> None:
        """Forget an operation, and say so; absent is success."""
        with self._change() as change:
            row = change.connection.execute(
                sa.select(operations.c.owner, operations.c.kind).where(operations.c.id == operation)
            ).first()
            if row is None:
                return
            change.connection.execute(operations.delete().where(operations.c.id == operation))
            change.say_deleted(operation, row.owner, row.kind)

    # ------------------------------------------------------------------ events and log

    def log(self, record: Operation, lines: Sequence[str]) -> None:
        """Add lines to an operation's log."""
        if not lines:
            return
        with self._change() as change:
            self._log.add(change, record, lines)

    def log_text(self, operation: str, owner: str | None = None, kind: str | None = None) -> str:
        """Return an operation's log; ``errors.NotFound`` as for `get`."""
        query = _belonging(sa.select(operations.c.id), operation, owner, kind)
        with self._looking.connect() as connection:
            found = journal.log_text(connection, query)
        if found is None:
            raise errors.NotFound(id=operation)
        return found

    def say(self, record: Operation, kind: str, body: Mapping[str, Any]) -> None:
        """Say something of an operation that its record does not hold."""
        with self._change() as change:
            change.say(record, kind, body)

    def last_event(self) -> int:
        """Return the sequence number of the newest event, 0 without any."""
        with self._looking.connect() as connection:
            return journal.last(connection)

    def owned_events(
        self, owner: str | None, after: int, operation: str | None = None, limit: int = 500
    ) -> Sequence[tuple[str, Event]]:
        """Return events past a sequence number with their owners, of one owner if given, oldest first."""
        with self._looking.connect() as connection:
            return journal.past(connection, after, owner, operation, limit)

    @contextmanager
    def _change(self) -> Iterator[Change]:
        with self._writing, self.engine.begin() as connection:
            change = Change(connection)
            yield change
            told = change.write()
        for listener in list(self._listeners):
            listener(told)


def _database(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except sa.exc.ArgumentError:  # which quotes it, with its password
        raise SettingsUnusable(
            reason="SecxopsService.store_url is not the URL of a database"
        ) from None


def _tune_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # Safe with WAL against a killed process; after a power cut the newest moments may be missing,
    # and every step can be repeated.
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _by_id(operation: str, owner: str | None, kind: str | None) -> sa.Select[Any]:
    query = sa.select(operations.c.kind, operations.c.record, operations.c.document)
    return _belonging(query, operation, owner, kind)


def _belonging(
    query: sa.Select[Any], operation: str, owner: str | None, kind: str | None
) -> sa.Select[Any]:
    """Ask for one operation, if it is this owner's and of this kind, where one is given."""
    query = query.where(operations.c.id == operation)
    if owner is not None:
        query = query.where(operations.c.owner == owner)
    return query if kind is None else query.where(operations.c.kind == kind)


def _next_in_line(connection: sa.Connection, workers: int) -> str | None:
    busy = (
        sa.select(sa.func.count())
        .where(operations.c.state.in_([state.value for state in BUSY]))
        .correlate(None)
    )
    first = (
        sa.select(operations.c.id)
        .join(events, events.c.operation == operations.c.id)
        .where(operations.c.state == MigrationState.QUEUED.value, events.c.kind == "state")
        .where(busy.scalar_subquery() < workers)
        .group_by(operations.c.id)
        .order_by(sa.func.max(events.c.id))
        .limit(1)
    )
    return connection.scalar(first)


def _taken(connection: sa.Connection, kind: str, owner: str) -> set[str]:
    query = sa.select(operations.c.name).where(
        operations.c.owner == owner, operations.c.kind == kind
    )
    return set(connection.scalars(query))


def _insist_not_under_way(
    connection: sa.Connection, schema: Schema[Any, Any], owner: str, name: str
) -> None:
    if schema.under_way is None:
        return
    other = connection.scalar(
        sa.select(operations.c.id).where(
            operations.c.owner == owner,
            operations.c.kind == schema.kind,
            operations.c.name == name,
            operations.c.state.in_([state.value for state in UNDER_WAY]),
        )
    )
    if other is not None:
        raise schema.under_way(name=name, id=other)


def _free(name: str, taken: set[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found
