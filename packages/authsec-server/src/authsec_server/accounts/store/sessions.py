"""Table of administrators' sessions, and its queries."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Connection, ForeignKey, String, Table, Text, delete, insert, or_, select, update

from authsec_server.accounts.model.sessions import Session
from authsec_server.db import rows
from authsec_server.db.schema import Instant, metadata

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("cookie_sha256", String(64), nullable=False, unique=True),
    Column("administrator_id", String(36), ForeignKey("administrators.id"), nullable=False, index=True),
    Column("method", String(10), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    Column("address", String(45), nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("ended_at", Instant),
)


def add(connection: Connection, session: Session, cookie_sha256: str) -> None:
    """Insert the session."""
    connection.execute(insert(sessions), rows.write(sessions, session, cookie_sha256=cookie_sha256))


def by_id(connection: Connection, session_id: str) -> Session | None:
    """Return the session with this id."""
    row = connection.execute(select(sessions).where(sessions.c.id == session_id)).first()
    return None if row is None else rows.read(Session, row)


def by_hash(connection: Connection, cookie_sha256: str) -> Session | None:
    """Return the session whose cookie has this hash."""
    row = connection.execute(select(sessions).where(sessions.c.cookie_sha256 == cookie_sha256)).first()
    return None if row is None else rows.read(Session, row)


def open_ones(connection: Connection, administrator_id: str) -> list[Session]:
    """Return the administrator's sessions that are not marked as ended, the most recently used first."""
    theirs = (sessions.c.administrator_id == administrator_id, sessions.c.ended_at.is_(None))
    statement = select(sessions).where(*theirs).order_by(sessions.c.last_seen_at.desc())
    return [rows.read(Session, row) for row in connection.execute(statement)]


def addresses(connection: Connection, administrator_id: str) -> set[str]:
    """Return the addresses from which the administrator began the sessions that are still stored."""
    statement = select(sessions.c.address).where(sessions.c.administrator_id == administrator_id).distinct()
    return set(connection.execute(statement).scalars())


def set_last_seen(connection: Connection, session_id: str, now: datetime) -> None:
    """Save `now` as the time of the last use, if it is later than the saved time. An ended session does not change."""
    still_open = (sessions.c.ended_at.is_(None), sessions.c.last_seen_at < now)
    connection.execute(update(sessions).where(sessions.c.id == session_id, *still_open).values(last_seen_at=now))


def set_ended(connection: Connection, session_id: str, now: datetime) -> None:
    """Mark the session as ended."""
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(ended_at=now))


def end_expired(connection: Connection, now: datetime, *, seen_until: datetime, made_until: datetime) -> None:
    """End the sessions last used at `seen_until` or before, or created at `made_until` or before."""
    over = or_(sessions.c.last_seen_at <= seen_until, sessions.c.created_at <= made_until)
    connection.execute(update(sessions).where(sessions.c.ended_at.is_(None), over).values(ended_at=now))


def forget(connection: Connection, ended_until: datetime) -> None:
    """Delete the sessions that ended at `ended_until` or before."""
    connection.execute(delete(sessions).where(sessions.c.ended_at <= ended_until))
