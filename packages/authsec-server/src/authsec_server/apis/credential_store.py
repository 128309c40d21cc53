"""Table of API credentials, and its queries. The table stores hashes, never the credentials."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Row,
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
    connection.execute(
        insert(api_credentials).values(
            id=credential.id,
            api_id=credential.api_id,
            name=credential.name,
            secret_sha256=secret_sha256,
            created_at=credential.created_at,
            expires_at=credential.expires_at,
        )
    )


def set_revoked(connection: Connection, credential_id: str, now: datetime) -> None:
    """Save the time of the revocation."""
    connection.execute(update(api_credentials).where(_columns.id == credential_id).values(revoked_at=now))


def set_used(connection: Connection, credential_id: str, now: datetime, *, at_most_every: timedelta) -> None:
    """Save the time of the last use, unless the saved time is less than `at_most_every` ago."""
    due = or_(_columns.last_used_at.is_(None), _columns.last_used_at <= now - at_most_every)
    connection.execute(update(api_credentials).where(_columns.id == credential_id, due).values(last_used_at=now))


def of_api(connection: Connection, api_id: str) -> list[Credential]:
    """Return the API's credentials, the oldest first, with expired and revoked ones."""
    rows = connection.execute(
        select(api_credentials).where(_columns.api_id == api_id).order_by(_columns.created_at, _columns.id)
    )
    return [_credential(row) for row in rows]


def by_hash(connection: Connection, secret_sha256: str) -> Holder | None:
    """Return the API and the credential with this hash, even if expired or revoked."""
    its = store.apis.c
    row = connection.execute(
        select(api_credentials, its.slug, its.name.label("api_name"), its.identifier)
        .join(store.apis, its.id == _columns.api_id)
        .where(_columns.secret_sha256 == secret_sha256)
    ).first()
    if row is None:
        return None
    return Holder(
        api_id=row.api_id, slug=row.slug, name=row.api_name, identifier=row.identifier, credential=_credential(row)
    )


def forget(connection: Connection, api_id: str, ended_before: datetime) -> None:
    """Delete the API's credentials that expired or were revoked before `ended_before`."""
    ended = or_(
        _columns.revoked_at < ended_before, and_(_columns.expires_at.is_not(None), _columns.expires_at < ended_before)
    )
    connection.execute(delete(api_credentials).where(_columns.api_id == api_id, ended))


def _credential(row: Row[Any]) -> Credential:
    return Credential(
        id=row.id,
        api_id=row.api_id,
        name=row.name,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
