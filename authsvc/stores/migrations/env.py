"""How Alembic runs here: on the connection, and in the transaction, that `migrate` hands over."""

from __future__ import annotations

from alembic import context

from authsvc.stores.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
