"""Alembic's entry: runs the revisions on the connection it is handed, inside the caller's transaction."""

from __future__ import annotations

from alembic import context

from batcher.ledger.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
context.run_migrations()
