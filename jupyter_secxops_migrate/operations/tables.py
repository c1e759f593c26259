"""The tables of the record, as alembic's changes have made them."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

operations = sa.Table(
    "operations",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False, server_default="share"),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("created", sa.String(40), nullable=False),
    sa.Column("record", sa.JSON, nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("body_digest", sa.String(64)),
    sa.UniqueConstraint("owner", "kind", "idempotency_key", name="uq_operations_owner_kind_key"),
    sa.Index("ix_operations_owner_created", "owner", "created"),
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
    sa.Column("operation", sa.String(32), nullable=False),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("step", sa.String(16)),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Index("ix_events_owner_id", "owner", "id"),
    sa.Index("ix_events_operation_id", "operation", "id"),
    sqlite_autoincrement=True,
)

about = sa.Table(
    "about",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.String(255), nullable=False),
)
