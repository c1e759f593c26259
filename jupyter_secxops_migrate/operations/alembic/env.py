"""Applies the schema's changes on the connection that the store gives."""

from alembic import context

from jupyter_secxops_migrate.operations.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
