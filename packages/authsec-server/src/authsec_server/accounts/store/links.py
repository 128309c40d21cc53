"""Table of one-time links, and its queries."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Connection, ForeignKey, String, Table, delete, insert, select, update

from authsec_server.accounts.model.links import Link, LinkPurpose
from authsec_server.db import rows
from authsec_server.db.schema import Instant, metadata

setup_links = Table(
    "setup_links",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("code_sha256", String(64), nullable=False, unique=True),
    Column("purpose", String(20), nullable=False),
    Column("administrator_id", String(36), ForeignKey("administrators.id"), index=True),  # null: the first, to be made
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("voided_at", Instant),
)


def add(connection: Connection, link: Link, code_sha256: str) -> None:
    """Insert the link."""
    connection.execute(insert(setup_links), rows.write(setup_links, link, code_sha256=code_sha256))


def by_hash(connection: Connection, code_sha256: str) -> Link | None:
    """Return the link whose code has this hash."""
    row = connection.execute(select(setup_links).where(setup_links.c.code_sha256 == code_sha256)).first()
    return None if row is None else rows.read(Link, row)


def use(connection: Connection, link_id: str, now: datetime) -> bool:
    """Mark the link as used. Return False if the link was used or voided before."""
    unused = (setup_links.c.used_at.is_(None), setup_links.c.voided_at.is_(None))
    statement = update(setup_links).where(setup_links.c.id == link_id, *unused).values(used_at=now)
    return connection.execute(statement).rowcount == 1


def void(connection: Connection, administrator_id: str, purpose: LinkPurpose | None, now: datetime) -> None:
    """Mark the administrator's unused links as void.

    An empty `administrator_id` selects links without an administrator. `purpose` selects the links with one
    purpose; None selects the links with any purpose.
    """
    of_theirs = setup_links.c.administrator_id == administrator_id
    statement = update(setup_links).where(
        of_theirs if administrator_id else setup_links.c.administrator_id.is_(None),
        setup_links.c.used_at.is_(None),
        setup_links.c.voided_at.is_(None),
    )
    if purpose is not None:
        statement = statement.where(setup_links.c.purpose == purpose)
    connection.execute(statement.values(voided_at=now))


def void_all(connection: Connection, now: datetime) -> None:
    """Mark every unused link as void."""
    unused = (setup_links.c.used_at.is_(None), setup_links.c.voided_at.is_(None))
    connection.execute(update(setup_links).where(*unused).values(voided_at=now))


def forget(connection: Connection, expired_until: datetime) -> None:
    """Delete the links that expired at `expired_until` or before."""
    connection.execute(delete(setup_links).where(setup_links.c.expires_at <= expired_until))
