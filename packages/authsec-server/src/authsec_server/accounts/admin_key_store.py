"""The table of admin keys, and its queries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, Row, String, Table, Text, insert, or_, select, update

from authsec_server.accounts.model.admin_keys import AdminKey
from authsec_server.db import rows
from authsec_server.db.matching import neighbours
from authsec_server.db.schema import Instant, metadata
from authsec_server.principal import Role

admin_keys = Table(
    "admin_keys",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", String(10), nullable=False),
    Column("key_sha256", String(64), nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("last_used_at", Instant),
    Column("revoked_at", Instant),
)


def add_admin_key(connection: Connection, key: AdminKey, key_sha256: str) -> None:
    """Insert the key."""
    row = rows.write(admin_keys, key, role=key.role.name.lower(), key_sha256=key_sha256)
    connection.execute(insert(admin_keys), row)


def set_admin_key_revoked(connection: Connection, key_id: str, now: datetime) -> None:
    """Save the time of the revocation."""
    connection.execute(update(admin_keys).where(admin_keys.c.id == key_id).values(revoked_at=now))


def set_admin_key_used(connection: Connection, key_id: str, now: datetime, *, at_most_every: timedelta) -> None:
    """Save the time of the last use, at most once in each period of `at_most_every`."""
    last = admin_keys.c.last_used_at
    due = or_(last.is_(None), last <= now - at_most_every)
    connection.execute(update(admin_keys).where(admin_keys.c.id == key_id, due).values(last_used_at=now))


def admin_key_by_hash(connection: Connection, key_sha256: str) -> AdminKey | None:
    """Return the key with this hash."""
    return _admin_key(connection, admin_keys.c.key_sha256, key_sha256)


def admin_key_by_id(connection: Connection, key_id: str) -> AdminKey | None:
    """Return the key with this id."""
    return _admin_key(connection, admin_keys.c.id, key_id)


def admin_key_by_name(connection: Connection, name: str) -> AdminKey | None:
    """Return the key with this name."""
    return _admin_key(connection, admin_keys.c.name, name)


def id_of_admin_key(connection: Connection, *, name: str = "", id_: str = "") -> str | None:
    """Return the id of the key with this name or id. No other column is read."""
    wanted = admin_keys.c.name == name if name else admin_keys.c.id == id_
    return connection.execute(select(admin_keys.c.id).where(wanted)).scalar()


def page_of_admin_keys(connection: Connection, *, after: str, limit: int) -> list[AdminKey]:
    """Return the keys after the name `after`, in name order."""
    statement = select(admin_keys).where(admin_keys.c.name > after).order_by(admin_keys.c.name).limit(limit)
    return [_read_admin_key(row) for row in connection.execute(statement)]


def admin_key_names_near(connection: Connection, name: str) -> list[str]:
    """Return the names that sort closest to this name, for suggestions."""
    return neighbours(connection, admin_keys.c.name, name)


def _admin_key(connection: Connection, column: Column[Any], value: str) -> AdminKey | None:
    row = connection.execute(select(admin_keys).where(column == value)).first()
    return None if row is None else _read_admin_key(row)


def _read_admin_key(row: Row[Any]) -> AdminKey:
    return rows.read(AdminKey, row, role=Role[row.role.upper()])
