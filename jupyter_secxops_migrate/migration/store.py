"""The durable record: migrations, and the one sequence of events that people follow.

SQLite for one user, PostgreSQL for many; the schema's changes are alembic's, applied on start. A
migration is kept as the document that REST gives, beside the columns that are searched by; `edit`
is the only way to change it, and says what changed as events. It knows nothing of workflows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from .. import errors
from ..model import Event, Migration, MigrationState, Step, StepName, StepState, utcnow

LOG_LINES = 20_000
"""How many lines of a migration's log are kept, the newest."""
LINE_LENGTH = 4096
_PRUNE_EVERY = 500

metadata = sa.MetaData()

migrations = sa.Table(
    "migrations",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("created", sa.String(40), nullable=False),
    sa.Column("record", sa.JSON, nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("body_digest", sa.String(64)),
    sa.UniqueConstraint("owner", "idempotency_key", name="uq_migrations_owner_key"),
    sa.Index("ix_migrations_owner_created", "owner", "created"),
)

events = sa.Table(
    "events",
    metadata,
    # BIGINT where there is one; SQLite counts only an INTEGER key up by itself
    sa.Column(
        "id",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("time", sa.String(40), nullable=False),
    sa.Column("migration", sa.String(32), nullable=False),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("step", sa.String(16)),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Index("ix_events_owner_id", "owner", "id"),
    sa.Index("ix_events_migration_id", "migration", "id"),
    sqlite_autoincrement=True,
)

about = sa.Table(
    "about",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.String(255), nullable=False),
)


@dataclass
class Draft:
    """A migration while it is edited. ``facts`` is what only the service needs to know of it."""

    migration: Migration
    facts: dict[str, Any] = field(default_factory=dict)

    def step(self, name: StepName) -> Step:
        """Return one step, to be changed in place."""
        return next(s for s in self.migration.steps if s.name is name)


class Store:
    """The tables.

    Parameters
    ----------
    url
        An SQLAlchemy URL.
    """

    def __init__(self, url: str) -> None:
        self.url = sa.make_url(url)
        options: dict[str, Any] = {}
        if self.url.get_backend_name() == "sqlite":
            options = {"connect_args": {"timeout": 30, "check_same_thread": False}}
        self.engine = sa.create_engine(self.url, **options)
        if self.url.get_backend_name() == "sqlite":
            sa.event.listen(self.engine, "connect", _tune_sqlite)
        self.shared = self.url.get_backend_name() != "sqlite"
        """Whether other processes may write to it as well."""
        self._writing = threading.RLock()
        self._listeners: list[Callable[[], None]] = []
        self._lines: dict[str, int] = {}

    def open(self) -> None:
        """Bring the schema up to date."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
        with self.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener``, in any thread, after every change; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def identity(self, fresh: str) -> str:
        """Return what tells this store from others; ``fresh`` is kept the first time."""
        with self._change() as connection:
            found = connection.scalar(sa.select(about.c.value).where(about.c.name == "store"))
            if found is None:
                connection.execute(about.insert().values(name="store", value=fresh))
            return str(found or fresh)

    # ------------------------------------------------------------------ migrations

    def add(self, migration: Migration, key: str | None, body: str) -> Migration:
        """Record a new migration; the same key gives the one that is there.

        Raises
        ------
        errors.IdempotencyConflict
            The key came with another body before.
        """
        with self._change() as connection:
            if key is not None:
                found = connection.execute(
                    sa.select(migrations.c.record, migrations.c.body_digest).where(
                        migrations.c.owner == migration.owner, migrations.c.idempotency_key == key
                    )
                ).first()
                if found is not None:
                    if found.body_digest != body:
                        raise errors.IdempotencyConflict()
                    return Migration.model_validate(found.record)
            taken = set(
                connection.scalars(
                    sa.select(migrations.c.name).where(migrations.c.owner == migration.owner)
                )
            )
            if migration.request.name is None:
                migration = migration.model_copy(update={"name": _free(migration.name, taken)})
            else:
                self._not_under_way(connection, migration)
            connection.execute(
                migrations.insert().values(
                    **_columns(migration), facts={}, idempotency_key=key, body_digest=body
                )
            )
            _say(connection, migration, "state", {"state": migration.state.value})
        return migration

    def _not_under_way(self, connection: sa.Connection, migration: Migration) -> None:
        other = connection.scalar(
            sa.select(migrations.c.id).where(
                migrations.c.owner == migration.owner,
                migrations.c.name == migration.name,
                migrations.c.state.in_(["queued", "running", "cancelling"]),
            )
        )
        if other is not None:
            raise errors.AlreadySharing(name=migration.name, id=other)

    def get(self, migration_id: str, owner: str | None = None) -> Migration:
        """Return a migration, of this owner if one is given.

        Raises
        ------
        errors.NotFound
            There is none, or it is somebody else's.
        """
        return self.read(migration_id, owner).migration

    def read(self, migration_id: str, owner: str | None = None) -> Draft:
        """Return a migration and its facts; changes to them are not kept."""
        with self.engine.connect() as connection:
            return _draft(connection.execute(_by_id(migration_id, owner)).first(), migration_id)

    def list(
        self, owner: str | None = None, limit: int | None = None, before: str | None = None
    ) -> Sequence[Migration]:
        """Return migrations, newest first; at most ``limit``, and those older than ``before``.

        Raises
        ------
        errors.NotFound
            There is no ``before``, or it is somebody else's.
        """
        query = sa.select(migrations.c.record).order_by(
            migrations.c.created.desc(), migrations.c.id.desc()
        )
        if owner is not None:
            query = query.where(migrations.c.owner == owner)
        if before is not None:
            last = _columns(self.get(before, owner))
            place = sa.tuple_(migrations.c.created, migrations.c.id)
            query = query.where(place < sa.tuple_(*map(sa.literal, (last["created"], last["id"]))))
        with self.engine.connect() as connection:
            rows = connection.scalars(query.limit(limit))
            return [Migration.model_validate(r) for r in rows]

    def ids(self, *states: MigrationState, owner: str | None = None) -> Sequence[str]:
        """Return the ids of migrations in these states, or of all, oldest first."""
        query = sa.select(migrations.c.id).order_by(migrations.c.created)
        if states:
            query = query.where(migrations.c.state.in_([s.value for s in states]))
        if owner is not None:
            query = query.where(migrations.c.owner == owner)
        with self.engine.connect() as connection:
            return list(connection.scalars(query))

    def next_in_line(self, workers: int) -> str | None:
        """Return the one that was queued first, if fewer than ``workers`` are under way."""
        busy = [MigrationState.RUNNING.value, MigrationState.CANCELLING.value]
        queued_at = sa.func.max(events.c.id)
        with self.engine.connect() as connection:
            under_way = connection.scalar(
                sa.select(sa.func.count())
                .select_from(migrations)
                .where(migrations.c.state.in_(busy))
            )
            if (under_way or 0) >= workers:
                return None
            return connection.scalar(
                sa.select(migrations.c.id)
                .join(events, events.c.migration == migrations.c.id)
                .where(migrations.c.state == MigrationState.QUEUED.value, events.c.kind == "state")
                .group_by(migrations.c.id)
                .order_by(queued_at)
                .limit(1)
            )

    def shares_image(self, migration_id: str, image: Mapping[str, Any]) -> bool:
        """Whether another migration runs this image, stopped or not, or is about to.

        It is the same by its digest, or by its reference where one is not known yet. Of one that was
        pushed, only those count that have it from the registry.
        """
        ended = [MigrationState.FAILED.value, MigrationState.CANCELLED.value]
        query = sa.select(migrations.c.facts).where(
            migrations.c.id != migration_id, migrations.c.state.not_in(ended)
        )
        with self.engine.connect() as connection:
            others = [facts.get("image") or {} for facts in connection.scalars(query)]
        pushed = in_registry(image)
        return any(
            other.get(key) == image[key]
            for other in others
            if not pushed or in_registry(other)
            for key in ("digest", "reference")
            if image[key]
        )

    @contextmanager
    def edit(self, migration_id: str, owner: str | None = None) -> Iterator[Draft]:
        """Change a migration; what changed of its state and steps becomes events."""
        with self._change() as connection:
            query = _by_id(migration_id, owner).with_for_update()
            draft = _draft(connection.execute(query).first(), migration_id)
            before = draft.migration.model_copy(deep=True)
            yield draft
            after = draft.migration
            connection.execute(
                migrations.update()
                .where(migrations.c.id == migration_id)
                .values(**_columns(after), facts=draft.facts)
            )
            if after.state is not before.state or after.attempt != before.attempt:
                _say(connection, after, "state", {"state": after.state.value})
            for step in after.steps:
                if step not in before.steps:
                    self._say_step(connection, after, step)

    def _say_step(self, connection: sa.Connection, migration: Migration, step: Step) -> None:
        # Only the newest measure of a step that runs is worth keeping.
        connection.execute(
            events.delete().where(
                events.c.migration == migration.id,
                events.c.kind == "progress",
                events.c.step == step.name.value,
            )
        )
        body = {"step": step.model_dump(mode="json")}
        kind = "progress" if step.state is StepState.RUNNING and step.done is not None else "step"
        _say(connection, migration, kind, body, step.name.value)

    def remove(self, migration_id: str) -> None:
        """Forget a migration, and say so; absent is success."""
        with self._change() as connection:
            owner = connection.scalar(
                sa.select(migrations.c.owner).where(migrations.c.id == migration_id)
            )
            if owner is None:
                return
            connection.execute(migrations.delete().where(migrations.c.id == migration_id))
            connection.execute(events.delete().where(events.c.migration == migration_id))
            connection.execute(
                events.insert().values(
                    time=_now(), migration=migration_id, owner=owner, kind="deleted", body={}
                )
            )

    # ------------------------------------------------------------------ events and log

    def log(self, migration: Migration, lines: Sequence[str]) -> None:
        """Add lines to a migration's log."""
        if not lines:
            return
        with self._change() as connection:
            now = _now()
            connection.execute(
                events.insert(),
                [
                    {
                        "time": now,
                        "migration": migration.id,
                        "owner": migration.owner,
                        "kind": "log",
                        "step": None,
                        "body": {"line": _printable(line)},
                    }
                    for line in lines
                ],
            )
            self._lines[migration.id] = self._lines.get(migration.id, 0) + len(lines)
            if self._lines[migration.id] >= _PRUNE_EVERY:
                self._lines[migration.id] = 0
                self._prune(connection, migration.id)

    def _prune(self, connection: sa.Connection, migration_id: str) -> None:
        mine = (events.c.migration == migration_id) & (events.c.kind == "log")
        oldest = connection.scalar(
            sa.select(events.c.id)
            .where(mine)
            .order_by(events.c.id.desc())
            .offset(LOG_LINES)
            .limit(1)
        )
        if oldest is not None:
            connection.execute(events.delete().where(mine, events.c.id <= oldest))

    def log_text(self, migration_id: str) -> str:
        """Return a migration's log."""
        query = (
            sa.select(events.c.body)
            .where(events.c.migration == migration_id, events.c.kind == "log")
            .order_by(events.c.id)
        )
        with self.engine.connect() as connection:
            return "".join(f"{body['line']}\n" for body in connection.scalars(query))

    def say_environment(self, migration: Migration, status: str) -> None:
        """Say that a launched environment changed."""
        with self._change() as connection:
            _say(connection, migration, "environment", {"status": status})

    def last_event(self) -> int:
        """Return the sequence number of the newest event, 0 without any."""
        with self.engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.max(events.c.id))) or 0

    def events_after(
        self, owner: str, after: int, migration_id: str | None = None, limit: int = 500
    ) -> Sequence[Event]:
        """Return an owner's events past a sequence number, oldest first."""
        query = (
            sa.select(events)
            .where(events.c.owner == owner, events.c.id > after)
            .order_by(events.c.id)
            .limit(limit)
        )
        if migration_id is not None:
            query = query.where(events.c.migration == migration_id)
        with self.engine.connect() as connection:
            return [
                Event(
                    id=row.id,
                    time=row.time,
                    migration=row.migration,
                    kind="step" if row.kind == "progress" else row.kind,
                    **row.body,
                )
                for row in connection.execute(query)
            ]

    @contextmanager
    def _change(self) -> Iterator[sa.Connection]:
        with self._writing, self.engine.begin() as connection:
            yield connection
        for listener in list(self._listeners):
            listener()


def _tune_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # Safe with WAL against a killed process; after a power cut the newest moments may be missing,
    # and every step can be repeated.
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _now() -> str:
    return utcnow().isoformat()


def _by_id(migration_id: str, owner: str | None) -> sa.Select[Any]:
    query = sa.select(migrations.c.record, migrations.c.facts).where(
        migrations.c.id == migration_id
    )
    return query if owner is None else query.where(migrations.c.owner == owner)


def _draft(row: Any, migration_id: str) -> Draft:
    if row is None:
        raise errors.NotFound(id=migration_id)
    return Draft(Migration.model_validate(row.record), dict(row.facts))


def _columns(migration: Migration) -> dict[str, Any]:
    record = migration.model_dump(mode="json", exclude={"environment"})
    return {
        "id": migration.id,
        "owner": migration.owner,
        "name": migration.name,
        "state": migration.state.value,
        "created": migration.created.isoformat(),
        "record": record,
    }


def _say(
    connection: sa.Connection,
    migration: Migration,
    kind: str,
    body: dict[str, Any],
    step: str | None = None,
) -> None:
    connection.execute(
        events.insert().values(
            time=_now(),
            migration=migration.id,
            owner=migration.owner,
            kind=kind,
            step=step,
            body=body,
        )
    )


def _free(name: str, taken: set[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found


def _printable(line: str) -> str:
    """Return a line that terminals and databases take: no escapes, no NUL, not too long."""
    kept = "".join(c if c.isprintable() or c == "\t" else "�" for c in line)
    return kept[:LINE_LENGTH]


def in_registry(image: Mapping[str, Any]) -> bool:
    """Whether a registry has an image of a migration's facts, or may have."""
    return bool(image.get("pushed", True) or image.get("pushing"))
