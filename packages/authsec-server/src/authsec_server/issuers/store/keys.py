"""The table of fetched keys: for each trusted issuer, the last valid key set and the last failure.

A row belongs to one revision of its trusted issuer, and is ignored for every other revision. The reason:
keys that were fetched from an old URL must not be used for a new URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    and_,
    case,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from authsec_server.db import rows
from authsec_server.db.schema import Instant, metadata
from authsec_server.issuers.model import KeptKeys, TrustedIssuer
from authsec_server.issuers.store.issuers import trusted_issuers

trusted_issuer_keys = Table(
    "trusted_issuer_keys",
    metadata,
    Column("trusted_issuer_id", String(36), ForeignKey("trusted_issuers.id", ondelete="CASCADE"), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("jwks", JSON(none_as_null=True)),
    Column("fetched_at", Instant),
    Column("refresh_seconds", Integer),
    Column("failed_at", Instant),
    Column("failure", Text),
)
_its = trusted_issuer_keys.c


def keep(
    connection: Connection,
    trusted_issuer: TrustedIssuer,
    *,
    jwks: Mapping[str, Any],
    fetched_at: datetime,
    refresh_seconds: int,
) -> None:
    """Store a fetched key set for this revision of the trusted issuer, and delete the stored failure.

    Nothing is stored if the trusted issuer now has another revision. Nothing is stored either if the table
    already has a key set that was fetched later.
    """
    row = {
        "jwks": literal(jwks, JSON),
        "fetched_at": literal(fetched_at, Instant),
        "refresh_seconds": literal(refresh_seconds),
        "failed_at": null(),
        "failure": null(),
    }
    statement = _insert(connection, trusted_issuer, row)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["trusted_issuer_id"],
            set_={name: new[name] for name in ("revision", *row)},
            where=or_(
                _its.revision < new.revision,
                and_(_its.revision == new.revision, or_(_its.fetched_at.is_(None), _its.fetched_at <= new.fetched_at)),
            ),
        )
    )


def keep_failure(connection: Connection, trusted_issuer: TrustedIssuer, *, failed_at: datetime, failure: str) -> None:
    """Store the failure of a fetch for this revision of the trusted issuer.

    The stored key set and its age do not change. A key set of an older revision is deleted.
    """
    statement = _insert(
        connection, trusted_issuer, {"failed_at": literal(failed_at, Instant), "failure": literal(failure, Text)}
    )
    new = statement.excluded
    same = _its.revision == new.revision
    stays = {name: case((same, _its[name]), else_=null()) for name in ("jwks", "fetched_at", "refresh_seconds")}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["trusted_issuer_id"],
            set_={"revision": new.revision, "failed_at": new.failed_at, "failure": new.failure, **stays},
            where=_its.revision <= new.revision,
        )
    )


def carry_over(connection: Connection, trusted_issuer: TrustedIssuer) -> None:
    """Keep the stored keys for the new revision of the trusted issuer.

    Call this after an edit that does not change the origin of the keys.
    """
    moved = update(trusted_issuer_keys).where(
        _its.trusted_issuer_id == trusted_issuer.id, _its.revision == trusted_issuer.revision - 1
    )
    connection.execute(moved.values(revision=trusted_issuer.revision))


def find(connection: Connection, trusted_issuer: TrustedIssuer) -> KeptKeys | None:
    """Return the stored keys of this revision of the trusted issuer."""
    statement = select(trusted_issuer_keys).where(
        _its.trusted_issuer_id == trusted_issuer.id, _its.revision == trusted_issuer.revision
    )
    row = connection.execute(statement).first()
    return None if row is None else rows.read(KeptKeys, row)


def _insert(connection: Connection, trusted_issuer: TrustedIssuer, row: Mapping[str, Any]) -> Any:
    """Return an insert statement for this row.

    The statement does nothing if the trusted issuer was removed or has another revision.
    """
    upsert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    current = select(trusted_issuers.c.id, trusted_issuers.c.revision, *row.values()).where(
        trusted_issuers.c.id == trusted_issuer.id, trusted_issuers.c.revision == trusted_issuer.revision
    )
    return upsert(trusted_issuer_keys).from_select(["trusted_issuer_id", "revision", *row], current)
