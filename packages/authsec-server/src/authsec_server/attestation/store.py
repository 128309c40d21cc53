"""The table of used assertions: each assertion proves only once (RFC 7523 section 3, `jti`)."""

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
    """Mark the assertion as used; False if it was used before. One statement: of two requests at once, one wins."""
    upsert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    statement = upsert(used_assertions).values(client_id=client_id, jti_sha256=jti_sha256, until=until)
    added = connection.execute(statement.on_conflict_do_nothing().returning(used_assertions.c.jti_sha256))
    return added.first() is not None


def forget(connection: Connection, now: datetime) -> None:
    """Delete expired assertions, which would be refused for that reason anyway."""
    connection.execute(delete(used_assertions).where(used_assertions.c.until < now))
