"""The tables of all signing keys: for tokens, for the revocation feed and for the audit log.

Only this module reads and writes encrypted private parts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import structlog
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DataError

from authsec_server.db import rows
from authsec_server.db.postgresql_catalog import any_text_of_catalogs
from authsec_server.db.schema import Instant, metadata
from authsec_server.db.sqlite_reading import any_text
from authsec_server.keys.model import FINAL_STATES, KeyState, SealedKey, SigningKey

log = structlog.get_logger(__name__)

_USUAL_OCTETS = 10_000  # a sealed RSA key of 4,096 bits has 3,300
_MOST_SEALED = 1000

_UNREADABLE = (ValueError, TypeError, OverflowError, DataError)  # of a value that raw SQL wrote

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
    Column("publish_until", Instant),  # when the last token that the key signed has certainly expired
    Index("ix_signing_keys_state", "state"),
)


def _head_keys(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("kid", String(43), primary_key=True),  # the RFC 7638 thumbprint
        Column("sealed_private", LargeBinary, nullable=False),  # AES-256-GCM under the master key
        Column("created_at", Instant, nullable=False),
    )


feed_keys = _head_keys("feed_keys")
sealing_keys = _head_keys("sealing_keys")

# Where the sealing key is in a file: all public keys of the audit log, in a list that this key has signed.
sealing_key_lists = Table(
    "sealing_key_lists",
    metadata,
    Column("kid", String(43), primary_key=True),  # of the key in the file
    Column("signed", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)


def add(connection: Connection, key: SigningKey, sealed: bytes) -> None:
    """Insert the key with its encrypted private part."""
    connection.execute(insert(signing_keys), rows.write(signing_keys, key, sealed_private=sealed))


def move(connection: Connection, key: SigningKey) -> None:
    """Save the key's new state. Delete the private part if the key is gone or revoked."""
    private = {"sealed_private": None} if key.state in FINAL_STATES else {}
    statement = update(signing_keys).where(signing_keys.c.kid == key.kid)
    connection.execute(statement, rows.write(signing_keys, key, **private))


def in_states(connection: Connection, states: Collection[KeyState]) -> list[SigningKey]:
    """List the keys in these states, newest first."""
    statement = select(signing_keys).where(signing_keys.c.state.in_(states))
    ordered = statement.order_by(signing_keys.c.created_at.desc(), signing_keys.c.kid)
    return [rows.read(SigningKey, row) for row in connection.execute(ordered)]


def find(connection: Connection, kid: str) -> SigningKey | None:
    """Find the key with this name, in any state."""
    row = connection.execute(select(signing_keys).where(signing_keys.c.kid == kid)).one_or_none()
    return None if row is None else rows.read(SigningKey, row)


def sealed(connection: Connection, kid: str) -> bytes | None:
    """Return the encrypted private part. Return None if the private part was deleted or the key does not exist."""
    return connection.execute(select(signing_keys.c.sealed_private).where(signing_keys.c.kid == kid)).scalar()


def all_sealed(connection: Connection) -> dict[str, bytes]:
    """Return every encrypted private part, by the key's name."""
    statement = select(signing_keys.c.kid, signing_keys.c.sealed_private)
    found = connection.execute(statement.where(signing_keys.c.sealed_private.is_not(None)))
    return {row.kid: row.sealed_private for row in found}


def usual_sealed(connection: Connection) -> Sequence[tuple[str, bytes]]:
    """Return the names and the encrypted private parts of some keys, of a thousand at most, for `verify`.

    The attack: raw SQL writes values of hundreds of megabytes, of other types, or texts that are not UTF-8. Such rows
    are left out, or their names have escapes. After an error, the transaction goes on.
    """
    kid, sealed = signing_keys.c.kid, signing_keys.c.sealed_private
    is_sqlite = connection.dialect.name == "sqlite"
    octets = func.length if is_sqlite else func.octet_length  # `length` fails for a part of a character
    usual = and_(octets(kid) <= _USUAL_OCTETS, octets(sealed).between(1, _USUAL_OCTETS))
    if is_sqlite:
        usual = and_(func.typeof(kid) == "text", func.typeof(sealed) == "blob", usual)
    with any_text(connection, "replace"), any_text_of_catalogs(connection), connection.begin_nested():
        found = connection.execute(select(kid, sealed).where(usual).limit(_MOST_SEALED)).all()
    return [(row.kid, row.sealed_private) for row in found if isinstance(row.sealed_private, bytes)]


def set_sealed(connection: Connection, table: Table, kid: str, sealed: bytes) -> None:
    """Replace the encrypted private part of this key."""
    connection.execute(update(table).where(table.c.kid == kid).values(sealed_private=sealed))


def add_head_key(connection: Connection, table: Table, key: SealedKey) -> None:
    """Insert a key into the table of the revocation feed (`feed_keys`) or of the audit log (`sealing_keys`)."""
    connection.execute(insert(table), rows.write(table, key, sealed_private=key.sealed))


def all_head_keys(connection: Connection, table: Table) -> list[SealedKey]:
    """List the keys of the table, oldest first. Keys with the same time have the same order on every server.

    A row that no program reads is logged and left out. The attack: raw SQL inserts a row with the time `infinity`, so
    that no server starts. `verify` names the row.
    """
    ordered = select(table).order_by(table.c.created_at, table.c.kid)
    try:
        return [rows.read(SealedKey, row, sealed=row.sealed_private) for row in connection.execute(ordered)]
    except _UNREADABLE:
        found = (
            _readable_head_key(connection, table, kid)
            for kid in connection.execute(select(table.c.kid)).scalars().all()
        )
        return sorted(filter(None, found), key=lambda key: (key.created_at, key.kid))


def _readable_head_key(connection: Connection, table: Table, kid: str) -> SealedKey | None:
    try:
        row = connection.execute(select(table).where(table.c.kid == kid)).one()
    except _UNREADABLE as error:
        log.error("a stored key cannot be read: authsec audit verify", table=table.name, kid=kid, error=str(error))
        return None
    return rows.read(SealedKey, row, sealed=row.sealed_private)


def delete_head_keys(connection: Connection, table: Table, kids: Collection[str]) -> list[str]:
    """Delete these keys with their encrypted private parts, and return the names of the deleted keys."""
    deleted = delete(table).where(table.c.kid.in_(kids)).returning(table.c.kid)
    return sorted(connection.execute(deleted).scalars())


def set_sealing_key_list(connection: Connection, kid: str, signed: str, now: datetime) -> None:
    """Save the list of public keys that the key `kid` has signed. The new list replaces an older list of this key."""
    connection.execute(delete(sealing_key_lists).where(sealing_key_lists.c.kid == kid))
    connection.execute(insert(sealing_key_lists).values(kid=kid, signed=signed, created_at=now))


def sealing_key_list(connection: Connection, kid: str) -> str | None:
    """Return the list of public keys that is stored for the key `kid`. The signature is not verified."""
    found: str | None = connection.execute(
        select(sealing_key_lists.c.signed).where(sealing_key_lists.c.kid == kid)
    ).scalar_one_or_none()
    return found


def all_sealing_key_lists(connection: Connection) -> dict[str, str]:
    """Return every list of public keys, by the name of its signing key. The signatures are not verified."""
    lists = sealing_key_lists.c
    return {row.kid: row.signed for row in connection.execute(select(lists.kid, lists.signed))}


def has_sealing_key_list(connection: Connection) -> bool:
    """Whether the sealing key of this database is in a file: only then does the database have such a list."""
    return connection.execute(select(sealing_key_lists.c.kid).limit(1)).first() is not None
