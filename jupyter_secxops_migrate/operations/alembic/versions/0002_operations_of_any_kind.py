"""The tables take operations of any kind: what is there are shares."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.drop_index("ix_migrations_owner_created", "migrations")
    op.rename_table("migrations", "operations")
    with op.batch_alter_table("operations") as table:
        table.add_column(sa.Column("kind", sa.String(32), nullable=False, server_default="share"))
        table.alter_column("facts", new_column_name="document")
        table.drop_constraint("uq_migrations_owner_key", type_="unique")
        table.create_unique_constraint(
            "uq_operations_owner_kind_key", ["owner", "kind", "idempotency_key"]
        )
    op.create_index("ix_operations_owner_created", "operations", ["owner", "created"])
    op.drop_index("ix_events_migration_id", "events")
    # Not in batch mode, which would copy a long log row by row.
    op.execute("ALTER TABLE events RENAME COLUMN migration TO operation")
    op.create_index("ix_events_operation_id", "events", ["operation", "id"])


def downgrade() -> None:
    """Go back; operations of other kinds than shares are lost."""
    op.execute(
        "DELETE FROM events WHERE operation IN (SELECT id FROM operations WHERE kind <> 'share')"
    )
    op.execute("DELETE FROM operations WHERE kind <> 'share'")
    op.drop_index("ix_events_operation_id", "events")
    op.execute("ALTER TABLE events RENAME COLUMN operation TO migration")
    op.create_index("ix_events_migration_id", "events", ["migration", "id"])
    op.drop_index("ix_operations_owner_created", "operations")
    with op.batch_alter_table("operations") as table:
        table.drop_constraint("uq_operations_owner_kind_key", type_="unique")
        table.create_unique_constraint("uq_migrations_owner_key", ["owner", "idempotency_key"])
        table.alter_column("document", new_column_name="facts")
        table.drop_column("kind")
    op.rename_table("operations", "migrations")
    op.create_index("ix_migrations_owner_created", "migrations", ["owner", "created"])
