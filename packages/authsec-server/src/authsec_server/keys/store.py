"""The tables of signing keys and of the keys that sign heads. Only here does a sealed private part go in and out."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import JSON, Column, Connection, Index, LargeBinary, Row, String, Table, delete, insert, select, update

from authsec_server.db.schema import Instant, metadata
from authsec_server.keys.model import OVER, KeyState, SealedKey, SigningKey

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", String(43), primary_key=True),  # the RFC 7638 thumbprint
    Column("state", String(10), nullable=False),  # prepared | active | retired | gone | revoked
    Column("public_jwk", JSON, nullable=False),
    Column("sealed_private", LargeBinary),  # AES-256-GCM under the master key; None once gone
    Column("created_at", Instant, nullable=False),
    Column("activated_at", Instant),
    Column("retired_at", Instant),
    Column("publish_until", Instant),  # when the last token it signed is dead for certain
    Index("ix_signing_keys_state", "state"),
)

feed_keys = Table(
    "feed_keys",
    metadata,
    Column("kid", String(43), primary_key=True),  # the RFC 7638 thumbprint
    Column("sealed_private", LargeBinary, nullable=False),  # AES-256-GCM under the master key
    Column("created_at", Instant, nullable=False),
)

sealing_keys = Table(
    "sealing_keys",
    metadata,
    Column("kid", String(43), primary_key=True),  # the RFC 7638 thumbprint
    Column("sealed_private", LargeBinary, nullable=False),  # AES-256-GCM under the master key
    Column("created_at", Instant, nullable=False),
)


def add(connection: Connection, key: SigningKey, sealed: bytes) -> None:
    """Insert the key with its sealed private part."""
    connection.execute(
        insert(signing_keys).values(
            kid=key.kid,
            public_jwk=dict(key.public_jwk),
            sealed_private=sealed,
            created_at=key.created_at,
            **_standing(key),
        )
    )


def move(connection: Connection, key: SigningKey) -> None:
    """Write where in its life the key is now; the private part of one that is over is deleted."""
    values = _standing(key) | ({"sealed_private": None} if key.state in OVER else {})
    connection.execute(update(signing_keys).where(signing_keys.c.kid == key.kid).values(values))


def in_states(connection: Connection, states: Collection[KeyState]) -> list[SigningKey]:
    """The keys in these states, newest first."""
    statement = select(signing_keys).where(signing_keys.c.state.in_(states))
    ordered = statement.order_by(signing_keys.c.created_at.desc(), signing_keys.c.kid)
    return [_signing_key(row) for row in connection.execute(ordered)]


def find(connection: Connection, kid: str) -> SigningKey | None:
    """The key with this name, in whichever state."""
    row = connection.execute(select(signing_keys).where(signing_keys.c.kid == kid)).one_or_none()
    return None if row is None else _signing_key(row)


def active_kid(connection: Connection) -> str | None:
    """The name of the key that signs."""
    statement = select(signing_keys.c.kid).where(signing_keys.c.state == KeyState.ACTIVE)
    return connection.execute(statement).scalar_one_or_none()


def sealed(connection: Connection, kid: str) -> bytes | None:
    """The sealed private part; None when the key is gone or was never there."""
    return connection.execute(select(signing_keys.c.sealed_private).where(signing_keys.c.kid == kid)).scalar()


def all_sealed(connection: Connection) -> dict[str, bytes]:
    """Every sealed private part, by kid."""
    statement = select(signing_keys.c.kid, signing_keys.c.sealed_private)
    rows = connection.execute(statement.where(signing_keys.c.sealed_private.is_not(None)))
    return {row.kid: row.sealed_private for row in rows}


def add_head_key(connection: Connection, table: Table, key: SealedKey) -> None:
    """Insert a key that signs heads: of the feed (`feed_keys`) or of the journal's log (`sealing_keys`)."""
    connection.execute(insert(table).values(kid=key.kid, sealed_private=key.sealed, created_at=key.created_at))


def all_head_keys(connection: Connection, table: Table) -> list[SealedKey]:
    """The keys of the table, oldest first; of the same moment in one order everywhere."""
    ordered = select(table).order_by(table.c.created_at, table.c.kid)
    return [
        SealedKey(kid=row.kid, sealed=row.sealed_private, created_at=row.created_at)
        for row in connection.execute(ordered)
    ]


def delete_feed_keys(connection: Connection, kids: Collection[str]) -> list[str]:
    """Delete these keys of the revocation feed; those that were there."""
    deleted = delete(feed_keys).where(feed_keys.c.kid.in_(kids)).returning(feed_keys.c.kid)
    return sorted(connection.execute(deleted).scalars())


def _standing(key: SigningKey) -> dict[str, Any]:
    return {
        "state": key.state,
        "activated_at": key.activated_at,
        "retired_at": key.retired_at,
        "publish_until": key.publish_until,
    }


def _signing_key(row: Row[Any]) -> SigningKey:
    return SigningKey(
        kid=row.kid,
        state=KeyState(row.state),
        public_jwk=row.public_jwk,
        created_at=row.created_at,
        activated_at=row.activated_at,
        retired_at=row.retired_at,
        publish_until=row.publish_until,
    )
