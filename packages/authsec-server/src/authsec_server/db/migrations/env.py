"""Alembic's entry: migrates over the connection, and inside the transaction, of `db.migrate.upgrade`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
