"""Alembic's entry: migrates over the connection, and inside the transaction, of `db.migrate.upgrade`."""

from alembic import context
from authsec_server.db.schema import metadata

# Of the metadata only its naming convention is used.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
