"""Table of administrators, and its queries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from authsec_server.accounts.model.administrators import Administrator
from authsec_server.db import rows
from authsec_server.db.matching import neighbours
from authsec_server.db.schema import Instant, metadata
from authsec_server.principal import Role

administrators = Table(
    "administrators",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("email", String(254), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("role", String(10), nullable=False),
    Column("password_hash", Text),  # Argon2id; null until it is set, and always where an OpenID provider vouches
    Column("issuer", Text),
    Column("subject", String(255)),
    Column("created_at", Instant, nullable=False),
    Column("last_sign_in_at", Instant),
    Column("disabled_at", Instant),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("changed_at", Instant),
    Column("changed_by", Text),
    UniqueConstraint("issuer", "subject"),
)


def add(connection: Connection, administrator: Administrator) -> None:
    """Insert the administrator, without a password."""
    connection.execute(insert(administrators), _row_of(administrator))


def change(connection: Connection, administrator: Administrator) -> None:
    """Update the row of the administrator, except the password and the time of the last sign-in.

    Other functions write these two columns.
    """
    changed = _row_of(administrator)
    del changed["last_sign_in_at"]  # somebody may have signed in since it was read
    connection.execute(update(administrators).where(administrators.c.id == administrator.id), changed)


def set_password_hash(connection: Connection, administrator_id: str, password_hash: str | None) -> None:
    """Save the hash of the password; None removes the password."""
    statement = update(administrators).where(administrators.c.id == administrator_id)
    connection.execute(statement.values(password_hash=password_hash))


def set_signed_in(connection: Connection, administrator_id: str, now: datetime) -> None:
    """Save the time of a sign-in. A later time that is saved already is kept, because the clocks of servers differ.

    `audit verify` compares the saved time with the latest sign-in.
    """
    last = administrators.c.last_sign_in_at
    is_later = or_(last.is_(None), last < now)
    statement = update(administrators).where(administrators.c.id == administrator_id, is_later)
    connection.execute(statement.values(last_sign_in_at=now))


def by_id(connection: Connection, administrator_id: str) -> Administrator | None:
    """Return the administrator with this id."""
    return _first(connection, administrators.c.id == administrator_id)


def by_email(connection: Connection, email: str) -> Administrator | None:
    """Return the administrator with this address, which must be in its unique form."""
    return _first(connection, administrators.c.email == email)


def id_of(connection: Connection, *, email: str = "", id_: str = "") -> str | None:
    """Return the id of the administrator with this id, or with this address in its unique form.

    No other column is read.
    """
    wanted = administrators.c.email == email if email else administrators.c.id == id_
    return connection.execute(select(administrators.c.id).where(wanted)).scalar()


def by_identity(connection: Connection, issuer: str, subject: str) -> Administrator | None:
    """Return the administrator with this subject at this provider."""
    return _first(connection, administrators.c.issuer == issuer, administrators.c.subject == subject)


def password_hash(connection: Connection, administrator_id: str) -> str | None:
    """Return the hash of the password; None if the administrator has no password."""
    statement = select(administrators.c.password_hash).where(administrators.c.id == administrator_id)
    found: str | None = connection.execute(statement).scalar_one_or_none()
    return found


def has_any(connection: Connection) -> bool:
    """Return whether any administrator exists, enabled or not."""
    found: bool = connection.execute(select(exists(select(administrators.c.id)))).scalar_one()
    return bool(found)


def admins_who_can_sign_in(connection: Connection, *, beside: str) -> int:
    """Count the enabled admins who have a password or an identity, without the administrator with the id `beside`."""
    statement = select(func.count()).where(
        administrators.c.id != beside,
        administrators.c.role == Role.ADMIN.name.lower(),
        administrators.c.disabled_at.is_(None),
        or_(administrators.c.password_hash.is_not(None), administrators.c.issuer.is_not(None)),
    )
    number: int = connection.execute(statement).scalar_one()
    return number


def page(connection: Connection, *, after: str, limit: int) -> list[Administrator]:
    """Return the administrators after the address `after`, in address order."""
    statement = select(administrators).where(administrators.c.email > after)
    return [read(row) for row in connection.execute(statement.order_by(administrators.c.email).limit(limit))]


def emails_near(connection: Connection, email: str) -> list[str]:
    """Return the addresses that sort closest to this address, for suggestions."""
    return neighbours(connection, administrators.c.email, email)


def search(connection: Connection, text: str, *, limit: int) -> list[Administrator]:
    """Return administrators whose name or address contains the text, or whose id begins with it."""
    within = [
        administrators.c.name.icontains(text, autoescape=True),
        administrators.c.email.icontains(text, autoescape=True),
        administrators.c.id.istartswith(text, autoescape=True),
    ]
    statement = select(administrators).where(or_(*within)).order_by(administrators.c.email).limit(limit)
    return [read(row) for row in connection.execute(statement)]


def read(row: Row[Any]) -> Administrator:
    """Read the administrator from this row."""
    role, has_password = Role[row.role.upper()], row.password_hash is not None
    return rows.read(Administrator, row, role=role, has_password=has_password)


def _row_of(administrator: Administrator) -> dict[str, Any]:
    return rows.write(administrators, administrator, role=administrator.role.name.lower())


def _first(connection: Connection, *criteria: ColumnElement[bool]) -> Administrator | None:
    row = connection.execute(select(administrators).where(*criteria)).first()
    return None if row is None else read(row)
