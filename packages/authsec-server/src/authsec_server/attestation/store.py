"""The table of used assertions: each assertion is accepted only once (RFC 7523 section 3, `jti`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Column, Connection, String, Table, delete

from authsec_server.db.schema import Instant, as_stored, metadata

used_assertions = Table(
    "used_assertions",
    metadata,
    Column("client_id", String(36), primary_key=True),
    Column("jti_sha256", String(64), primary_key=True),
    Column("until", Instant, nullable=False, index=True),
)


def use_all(connection: Connection, used: Mapping[tuple[str, str], datetime]) -> set[tuple[str, str] | None]:
    """Mark these assertions as used. Return the assertions that were not used before.

    `used` maps a client id and the SHA-256 of a `jti` to the expiry of the assertion. If two calls run at the same
    time, only one of them returns an assertion, because one statement does the check and the write. The statement locks
    the rows in a fixed order.
    """
    if not used:
        return set()
    on_postgresql = connection.dialect.name == "postgresql"
    rows = ", ".join(["(%s, %s, %s)" if on_postgresql else "(?, ?, ?)"] * len(used))
    values = [
        value
        for (client_id, jti), until in sorted(used.items())
        for value in (client_id, jti, as_stored(until, connection.dialect.name))
    ]
    statement = (
        f"INSERT INTO used_assertions (client_id, jti_sha256, until) VALUES {rows}"  # noqa: S608 - marks only
        " ON CONFLICT DO NOTHING RETURNING client_id, jti_sha256"
    )
    return {(client_id, jti) for client_id, jti in connection.exec_driver_sql(statement, tuple(values))}


def forget(connection: Connection, now: datetime) -> None:
    """Delete the records of expired assertions, which are refused because they have expired."""
    connection.execute(delete(used_assertions).where(used_assertions.c.until < now))
