"""The table of keys that were fetched: the last good set of each trusted issuer, and how the last try failed.

A row belongs to one revision of its trusted issuer, and says nothing of any other: what was fetched from an old address
must not count for a new one.
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
    Row,
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
    """Keep a set that was fetched for this revision of the trusted issuer, and forget the failures before it.

    Nothing happens where the trusted issuer is not that any more, or where a later set is kept already.
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
    """Note that the keys of this revision of the trusted issuer could not be fetched. The set that is kept stays.

    One of an older revision goes.
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
    """Let what was kept count for the trusted issuer's new revision: the change left alone where its keys come from."""
    moved = update(trusted_issuer_keys).where(
        _its.trusted_issuer_id == trusted_issuer.id, _its.revision == trusted_issuer.revision - 1
    )
    connection.execute(moved.values(revision=trusted_issuer.revision))


def find(connection: Connection, trusted_issuer: TrustedIssuer) -> KeptKeys | None:
    """What is kept for this revision of the trusted issuer."""
    statement = select(trusted_issuer_keys).where(
        _its.trusted_issuer_id == trusted_issuer.id, _its.revision == trusted_issuer.revision
    )
    row = connection.execute(statement).first()
    return None if row is None else _kept(row)


def _insert(connection: Connection, trusted_issuer: TrustedIssuer, row: Mapping[str, Any]) -> Any:
    """An insert that finds nothing to insert where the trusted issuer is gone, or is another revision."""
    upsert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    current = select(trusted_issuers.c.id, trusted_issuers.c.revision, *row.values()).where(
        trusted_issuers.c.id == trusted_issuer.id, trusted_issuers.c.revision == trusted_issuer.revision
    )
    return upsert(trusted_issuer_keys).from_select(["trusted_issuer_id", "revision", *row], current)


def _kept(row: Row[Any]) -> KeptKeys:
    return KeptKeys(
        jwks=row.jwks,
        fetched_at=row.fetched_at,
        refresh_seconds=row.refresh_seconds,
        failed_at=row.failed_at,
        failure=row.failure or "",
    )
