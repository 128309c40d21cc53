"""The table of unused enrolment codes. A code is stored as a hash, and deleted when a machine uses the code."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, ForeignKey, Integer, Row, String, Table, Text, delete, insert, select

from authsec_server.audit.model import Named
from authsec_server.clients.enrolment import Enrolment
from authsec_server.db import rows
from authsec_server.db.schema import Instant, metadata

enrolments = Table(
    "enrolments",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("client_id", String(36), ForeignKey("clients.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("code_sha256", String(64), nullable=False, unique=True),
    Column("hours", Integer, nullable=False),
    Column("made_by_kind", String(20), nullable=False),
    Column("made_by_id", String(36), nullable=False),  # empty for the local operator
    Column("made_by_name", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)


def add(connection: Connection, enrolment: Enrolment, code_sha256: str) -> None:
    """Insert the enrolment."""
    made_by = {"made_by_id": enrolment.made_by.id, "made_by_name": enrolment.made_by.name}
    connection.execute(insert(enrolments), rows.write(enrolments, enrolment, code_sha256=code_sha256, **made_by))


def by_hash(connection: Connection, code_sha256: str) -> Enrolment | None:
    """Return the enrolment whose code has this hash, even if the code has expired."""
    row = connection.execute(select(enrolments).where(enrolments.c.code_sha256 == code_sha256)).first()
    return None if row is None else _enrolment(row)


def of_client(connection: Connection, client_id: str, now: datetime) -> list[Enrolment]:
    """List the client's codes that have not expired, oldest first."""
    can_be_used = select(enrolments).where(enrolments.c.client_id == client_id, enrolments.c.expires_at > now)
    oldest_first = can_be_used.order_by(enrolments.c.created_at, enrolments.c.id)
    return [_enrolment(row) for row in connection.execute(oldest_first)]


def remove(connection: Connection, enrolment_id: str) -> bool:
    """Delete the code. Return False if the code was deleted before.

    If two machines use a code at the same time, only one of them gets True.
    """
    return connection.execute(delete(enrolments).where(enrolments.c.id == enrolment_id)).rowcount == 1


def end(connection: Connection, client_ids: Collection[str]) -> None:
    """Delete all codes of these clients, in one statement."""
    connection.execute(delete(enrolments).where(enrolments.c.client_id.in_(client_ids)))


def remove_all(connection: Connection) -> None:
    """Delete every code."""
    connection.execute(delete(enrolments))


def forget(connection: Connection, now: datetime) -> None:
    """Delete the codes that have expired."""
    connection.execute(delete(enrolments).where(enrolments.c.expires_at <= now))


def _enrolment(row: Row[Any]) -> Enrolment:
    return rows.read(Enrolment, row, made_by=Named(id=row.made_by_id, name=row.made_by_name))
