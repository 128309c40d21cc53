"""The table of used assertions: each assertion is accepted only once (RFC 7523 section 3, `jti`)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Connection, String, Table, delete
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from authsec_server.db.schema import Instant, metadata

used_assertions = Table(
    "used_assertions",
    metadata,
    Column("client_id", String(36), primary_key=True),
    Column("jti_sha256", String(64), primary_key=True),
    Column("until", Instant, nullable=False, index=True),
)


def use(connection: Connection, client_id: str, jti_sha256: str, until: datetime) -> bool:
    """Mark the assertion as used. Return False if it was used before.

    Of two concurrent calls, only one returns True, because one statement does the check and the write.
    """
    upsert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    statement = upsert(used_assertions).values(client_id=client_id, jti_sha256=jti_sha256, until=until)
    added = connection.execute(statement.on_conflict_do_nothing().returning(used_assertions.c.jti_sha256))
    return added.first() is not None


def forget(connection: Connection, now: datetime) -> None:
    """Delete the records of expired assertions, which are refused because they have expired."""
    connection.execute(delete(used_assertions).where(used_assertions.c.until < now))
