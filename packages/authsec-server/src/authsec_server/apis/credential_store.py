"""Table of API credentials, and its queries. The table stores hashes, never the credentials."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    String,
    Table,
    Text,
    and_,
    delete,
    insert,
    or_,
    select,
    update,
)

from authsec_server.apis import store
from authsec_server.apis.credential import Credential, Holder
from authsec_server.db import rows
from authsec_server.db.schema import Instant, metadata

api_credentials = Table(
    "api_credentials",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("api_id", String(36), ForeignKey("apis.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("last_used_at", Instant),
    Column("revoked_at", Instant),
)
_columns = api_credentials.c


def add(connection: Connection, credential: Credential, secret_sha256: str) -> None:
    """Insert the credential."""
    connection.execute(insert(api_credentials), rows.write(api_credentials, credential, secret_sha256=secret_sha256))


def set_revoked(connection: Connection, credential_id: str, now: datetime) -> None:
    """Save the time of the revocation."""
    connection.execute(update(api_credentials).where(_columns.id == credential_id).values(revoked_at=now))


def set_used(connection: Connection, credential_id: str, now: datetime, *, at_most_every: timedelta) -> None:
    """Save the time of the last use, at most once in each period of `at_most_every`."""
    due = or_(_columns.last_used_at.is_(None), _columns.last_used_at <= now - at_most_every)
    connection.execute(update(api_credentials).where(_columns.id == credential_id, due).values(last_used_at=now))


def of_api(connection: Connection, api_id: str) -> list[Credential]:
    """Return the API's credentials, the oldest first, including expired and revoked credentials."""
    held = select(api_credentials).where(_columns.api_id == api_id).order_by(_columns.created_at, _columns.id)
    return [rows.read(Credential, row) for row in connection.execute(held)]


def by_hash(connection: Connection, secret_sha256: str) -> Holder | None:
    """Return the API and the credential with this hash, even if the credential is expired or revoked."""
    its = store.apis.c
    row = connection.execute(
        select(api_credentials, its.slug, its.name.label("api_name"), its.identifier)
        .join(store.apis, its.id == _columns.api_id)
        .where(_columns.secret_sha256 == secret_sha256)
    ).first()
    if row is None:
        return None
    return rows.read(Holder, row, name=row.api_name, credential=rows.read(Credential, row))


def forget(connection: Connection, api_id: str, ended_before: datetime) -> None:
    """Delete the API's credentials that expired or were revoked before `ended_before`."""
    ended = or_(
        _columns.revoked_at < ended_before, and_(_columns.expires_at.is_not(None), _columns.expires_at < ended_before)
    )
    connection.execute(delete(api_credentials).where(_columns.api_id == api_id, ended))
