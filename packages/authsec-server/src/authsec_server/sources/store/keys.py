"""The table of keys that were fetched: the last good set of each source, and how the last try failed.

A row belongs to one revision of its source, and says nothing of any other: what was fetched from an old address must
not count for a new one.
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
from authsec_server.sources.model import KeptKeys, TrustSource
from authsec_server.sources.store.sources import trust_sources

trust_source_keys = Table(
    "trust_source_keys",
    metadata,
    Column("source_id", String(36), ForeignKey("trust_sources.id", ondelete="CASCADE"), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("jwks", JSON(none_as_null=True)),
    Column("fetched_at", Instant),
    Column("refresh_seconds", Integer),
    Column("failed_at", Instant),
    Column("failure", Text),
)
_its = trust_source_keys.c


def keep(
    connection: Connection, source: TrustSource, *, jwks: Mapping[str, Any], fetched_at: datetime, refresh_seconds: int
) -> None:
    """Keep a set that was fetched for this revision of the source, and forget the failures before it.

    Nothing happens where the source is not that any more, or where a later set is kept already.
    """
    row = {
        "jwks": literal(jwks, JSON),
        "fetched_at": literal(fetched_at, Instant),
        "refresh_seconds": literal(refresh_seconds),
        "failed_at": null(),
        "failure": null(),
    }
    statement = _insert(connection, source, row)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["source_id"],
            set_={name: new[name] for name in ("revision", *row)},
            where=or_(
                _its.revision < new.revision,
                and_(_its.revision == new.revision, or_(_its.fetched_at.is_(None), _its.fetched_at <= new.fetched_at)),
            ),
        )
    )


def keep_failure(connection: Connection, source: TrustSource, *, failed_at: datetime, failure: str) -> None:
    """Note that keys could not be had for this revision of the source. The set that is kept stays, and gets no younger.

    One of an older revision goes.
    """
    statement = _insert(
        connection, source, {"failed_at": literal(failed_at, Instant), "failure": literal(failure, Text)}
    )
    new = statement.excluded
    same = _its.revision == new.revision
    stays = {name: case((same, _its[name]), else_=null()) for name in ("jwks", "fetched_at", "refresh_seconds")}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["source_id"],
            set_={"revision": new.revision, "failed_at": new.failed_at, "failure": new.failure, **stays},
            where=_its.revision <= new.revision,
        )
    )


def carry_over(connection: Connection, source: TrustSource) -> None:
    """Let what was kept count for the source's new revision: the change left alone where its keys come from."""
    moved = update(trust_source_keys).where(_its.source_id == source.id, _its.revision == source.revision - 1)
    connection.execute(moved.values(revision=source.revision))


def find(connection: Connection, source: TrustSource) -> KeptKeys | None:
    """What is kept for this revision of the source."""
    statement = select(trust_source_keys).where(_its.source_id == source.id, _its.revision == source.revision)
    row = connection.execute(statement).first()
    return None if row is None else _kept(row)


def _insert(connection: Connection, source: TrustSource, row: Mapping[str, Any]) -> Any:
    """An insert that finds nothing to insert where the source is gone, or is another revision."""
    upsert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    current = select(trust_sources.c.id, trust_sources.c.revision, *row.values()).where(
        trust_sources.c.id == source.id, trust_sources.c.revision == source.revision
    )
    return upsert(trust_source_keys).from_select(["source_id", "revision", *row], current)


def _kept(row: Row[Any]) -> KeptKeys:
    return KeptKeys(
        jwks=row.jwks,
        fetched_at=row.fetched_at,
        refresh_seconds=row.refresh_seconds,
        failed_at=row.failed_at,
        failure=row.failure or "",
    )
