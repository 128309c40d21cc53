"""Alembic's entry point: migrates on the connection of `db.migrate.upgrade`, inside the same transaction."""

from alembic import context
from authsec_server.db.schema import metadata

# Of the metadata only its naming convention is used.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
