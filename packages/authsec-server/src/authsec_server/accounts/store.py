"""The tables of administrators, their sessions and one-time links. `admin_key_store` has the table of admin keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from authsec_server.accounts.model.administrators import Administrator, Link, LinkPurpose
from authsec_server.accounts.model.sessions import Session
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
    Column("password_hash", Text),  # Argon2id; null without a password, for example with an OpenID provider
    Column("issuer", Text),
    Column("subject", String(255)),
    Column("created_at", Instant, nullable=False),
    Column("last_sign_in_at", Instant),
    Column("disabled_at", Instant),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("changed_at", Instant),
    Column("changed_by", Text),
    # The second factor. Null without one. `second_factor_store` reads and writes the columns.
    Column("second_factor_id", String(36)),
    Column("second_factor_since", Instant),
    Column("second_factor_sealed", LargeBinary),  # the secret: AES-256-GCM under the master key
    Column("second_factor_step", BigInteger),  # of the last accepted code
    Column("recovery_codes", Text),  # the hashes of the unused codes, as JSON
    Column("wrong_codes", Integer),
    Column("wrong_codes_since", Instant),
    UniqueConstraint("issuer", "subject"),
)


def add_administrator(connection: Connection, administrator: Administrator) -> None:
    """Insert the administrator, without a password."""
    connection.execute(insert(administrators), _administrator_row(administrator))


def change_administrator(connection: Connection, administrator: Administrator) -> None:
    """Update the row of the administrator, except the password and the time of the last sign-in.

    Other functions write these two columns.
    """
    changed = _administrator_row(administrator)
    del changed["last_sign_in_at"]  # a sign-in may have changed the row since it was read
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


def administrator_by_id(connection: Connection, administrator_id: str) -> Administrator | None:
    """Return the administrator with this id."""
    return _administrator(connection, administrators.c.id == administrator_id)


def administrator_by_email(connection: Connection, email: str) -> Administrator | None:
    """Return the administrator with this address, which must be in its unique form."""
    return _administrator(connection, administrators.c.email == email)


def id_of_administrator(connection: Connection, *, email: str = "", id_: str = "") -> str | None:
    """Return the id of the administrator with this id, or with this address in its unique form.

    No other column is read.
    """
    wanted = administrators.c.email == email if email else administrators.c.id == id_
    return connection.execute(select(administrators.c.id).where(wanted)).scalar()


def administrator_by_identity(connection: Connection, issuer: str, subject: str) -> Administrator | None:
    """Return the administrator with this subject at this provider."""
    return _administrator(connection, administrators.c.issuer == issuer, administrators.c.subject == subject)


def password_hash(connection: Connection, administrator_id: str) -> str | None:
    """Return the hash of the password; None if the administrator has no password."""
    statement = select(administrators.c.password_hash).where(administrators.c.id == administrator_id)
    found: str | None = connection.execute(statement).scalar_one_or_none()
    return found


def has_administrators(connection: Connection) -> bool:
    """Return whether any administrator exists, enabled or not."""
    found: bool = connection.execute(select(exists(select(administrators.c.id)))).scalar_one()
    return bool(found)


def admins_who_can_sign_in(connection: Connection, *, beside: str) -> int:
    """Count the enabled admins who have a password or an identity, except the administrator with the id `beside`."""
    statement = select(func.count()).where(
        administrators.c.id != beside,
        administrators.c.role == Role.ADMIN.name.lower(),
        administrators.c.disabled_at.is_(None),
        or_(administrators.c.password_hash.is_not(None), administrators.c.issuer.is_not(None)),
    )
    number: int = connection.execute(statement).scalar_one()
    return number


def page_of_administrators(connection: Connection, *, after: str, limit: int) -> list[Administrator]:
    """Return the administrators after the address `after`, in address order."""
    statement = select(administrators).where(administrators.c.email > after)
    return [
        read_administrator(row) for row in connection.execute(statement.order_by(administrators.c.email).limit(limit))
    ]


def emails_near(connection: Connection, email: str) -> list[str]:
    """Return the addresses that sort closest to this address, for suggestions."""
    return neighbours(connection, administrators.c.email, email)


def search_administrators(connection: Connection, text: str, *, limit: int) -> list[Administrator]:
    """Return the administrators with the text in the name or address, or at the beginning of the id."""
    within = [
        administrators.c.name.icontains(text, autoescape=True),
        administrators.c.email.icontains(text, autoescape=True),
        administrators.c.id.istartswith(text, autoescape=True),
    ]
    statement = select(administrators).where(or_(*within)).order_by(administrators.c.email).limit(limit)
    return [read_administrator(row) for row in connection.execute(statement)]


def read_administrator(row: Row[Any]) -> Administrator:
    """Read the administrator from this row."""
    return rows.read(
        Administrator,
        row,
        role=Role[row.role.upper()],
        has_password=row.password_hash is not None,
        has_second_factor=row.second_factor_id is not None,
    )


def _administrator_row(administrator: Administrator) -> dict[str, Any]:
    return rows.write(administrators, administrator, role=administrator.role.name.lower())


def _administrator(connection: Connection, *criteria: ColumnElement[bool]) -> Administrator | None:
    row = connection.execute(select(administrators).where(*criteria)).first()
    return None if row is None else read_administrator(row)


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


def add_session(connection: Connection, session: Session, cookie_sha256: str) -> None:
    """Insert the session."""
    connection.execute(insert(sessions), rows.write(sessions, session, cookie_sha256=cookie_sha256))


def session_by_id(connection: Connection, session_id: str) -> Session | None:
    """Return the session with this id."""
    row = connection.execute(select(sessions).where(sessions.c.id == session_id)).first()
    return None if row is None else rows.read(Session, row)


def session_by_hash(connection: Connection, cookie_sha256: str) -> Session | None:
    """Return the session by the hash of its cookie."""
    row = connection.execute(select(sessions).where(sessions.c.cookie_sha256 == cookie_sha256)).first()
    return None if row is None else rows.read(Session, row)


def open_sessions(
    connection: Connection, administrator_id: str, *, but: str = "", limit: int | None = None
) -> list[Session]:
    """Return the administrator's sessions that are not marked as ended, the most recently used first.

    The session `but` is left out.
    """
    statement = select(sessions).where(*_open_ones_of(administrator_id, but)).order_by(sessions.c.last_seen_at.desc())
    return [rows.read(Session, row) for row in connection.execute(statement.limit(limit))]


def end_open_sessions(
    connection: Connection, administrator_id: str, now: datetime, *, but: str = "", limit: int | None = None
) -> int:
    """Mark at most `limit` sessions as ended, the most recently used first, but not `but`. Return how many."""
    its = sessions.c
    some = select(its.id).where(*_open_ones_of(administrator_id, but)).order_by(its.last_seen_at.desc()).limit(limit)
    return connection.execute(update(sessions).where(its.id.in_(some)).values(ended_at=now)).rowcount


def _open_ones_of(administrator_id: str, but: str) -> tuple[ColumnElement[bool], ...]:
    its = sessions.c
    return its.administrator_id == administrator_id, its.ended_at.is_(None), its.id != but


def session_addresses(connection: Connection, administrator_id: str) -> set[str]:
    """Return the addresses from which the administrator began the sessions that are still stored."""
    statement = select(sessions.c.address).where(sessions.c.administrator_id == administrator_id).distinct()
    return set(connection.execute(statement).scalars())


def set_last_seen(connection: Connection, session_id: str, now: datetime) -> None:
    """Save `now` as the time of the last use, if it is later than the saved time. An ended session does not change."""
    still_open = (sessions.c.ended_at.is_(None), sessions.c.last_seen_at < now)
    connection.execute(update(sessions).where(sessions.c.id == session_id, *still_open).values(last_seen_at=now))


def end_session(connection: Connection, session_id: str, now: datetime) -> None:
    """Mark the session as ended."""
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(ended_at=now))


def end_expired_sessions(
    connection: Connection, now: datetime, *, seen_until: datetime, made_until: datetime, limit: int | None = None
) -> None:
    """End sessions last used at `seen_until` or before, created at `made_until` or before, or of the disabled."""
    its = sessions.c
    disabled = select(administrators.c.id).where(administrators.c.disabled_at.is_not(None))
    over = or_(its.last_seen_at <= seen_until, its.created_at <= made_until, its.administrator_id.in_(disabled))
    some = select(its.id).where(its.ended_at.is_(None), over).limit(limit)
    connection.execute(update(sessions).where(its.id.in_(some)).values(ended_at=now))


def forget_sessions(connection: Connection, ended_until: datetime, *, limit: int) -> None:
    """Delete sessions that ended at `ended_until` or before, at most `limit` of them."""
    some = select(sessions.c.id).where(sessions.c.ended_at <= ended_until).limit(limit)
    connection.execute(delete(sessions).where(sessions.c.id.in_(some)))


setup_links = Table(
    "setup_links",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("code_sha256", String(64), nullable=False, unique=True),
    Column("purpose", String(20), nullable=False),
    # Null in the link for the first administrator.
    Column("administrator_id", String(36), ForeignKey("administrators.id"), index=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("voided_at", Instant),
)


def add_link(connection: Connection, link: Link, code_sha256: str) -> None:
    """Insert the link."""
    connection.execute(insert(setup_links), rows.write(setup_links, link, code_sha256=code_sha256))


def link_by_hash(connection: Connection, code_sha256: str) -> Link | None:
    """Return the link by the hash of its code."""
    row = connection.execute(select(setup_links).where(setup_links.c.code_sha256 == code_sha256)).first()
    return None if row is None else rows.read(Link, row)


def use_link(connection: Connection, link_id: str, now: datetime) -> bool:
    """Mark the link as used. Return False if the link was used or voided before."""
    unused = (setup_links.c.used_at.is_(None), setup_links.c.voided_at.is_(None))
    statement = update(setup_links).where(setup_links.c.id == link_id, *unused).values(used_at=now)
    return connection.execute(statement).rowcount == 1


def void_links(connection: Connection, administrator_id: str, purpose: LinkPurpose | None, now: datetime) -> None:
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


def void_all_links(connection: Connection, now: datetime) -> None:
    """Mark every unused link as void."""
    unused = (setup_links.c.used_at.is_(None), setup_links.c.voided_at.is_(None))
    connection.execute(update(setup_links).where(*unused).values(voided_at=now))


def forget_links(connection: Connection, expired_until: datetime) -> None:
    """Delete the links that expired at `expired_until` or before."""
    connection.execute(delete(setup_links).where(setup_links.c.expires_at <= expired_until))
