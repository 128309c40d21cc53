"""The table of trusted issuers, and the table with the last valid key set and the last failure of each issuer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Integer,
    Row,
    Select,
    String,
    Table,
    Text,
    and_,
    case,
    delete,
    insert,
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
from authsec_server.issuers.model import CLUSTER_TERMS, TERMS, KeptKeys, TrustedIssuer, TrustedIssuerKind, plain_terms

trusted_issuers = Table(
    "trusted_issuers",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("slug", String(63), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("kind", String(20), nullable=False),  # kubernetes | spiffe | oidc
    Column("issuer", Text, nullable=False, index=True),  # of several trusted issuers, if each has keys of its own
    Column("configuration", JSON, nullable=False),  # where its keys come from, what its tokens are for, its claims
    Column("revision", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant),
    Column("changed_by", Text),
)
_CONFIGURED = [name for name in TERMS if name not in trusted_issuers.c and name not in CLUSTER_TERMS]


def add(connection: Connection, trusted_issuer: TrustedIssuer) -> None:
    """Insert the trusted issuer."""
    connection.execute(insert(trusted_issuers), _row_of(trusted_issuer))


def save(connection: Connection, trusted_issuer: TrustedIssuer) -> None:
    """Update the row of the trusted issuer."""
    connection.execute(
        update(trusted_issuers).where(trusted_issuers.c.id == trusted_issuer.id), _row_of(trusted_issuer)
    )


def remove(connection: Connection, trusted_issuer_id: str) -> None:
    """Delete the trusted issuer with its stored keys."""
    connection.execute(delete(trusted_issuers).where(trusted_issuers.c.id == trusted_issuer_id))


def by_ids(connection: Connection, ids: Collection[str]) -> dict[str, TrustedIssuer]:
    """Map these ids to their trusted issuers. Unknown ids are left out.

    Any number of ids needs only one statement.
    """
    statement = select(trusted_issuers).where(trusted_issuers.c.id.in_(ids))
    return {trusted_issuer.id: trusted_issuer for trusted_issuer in loaded(connection, statement)}


def of_issuer(connection: Connection, issuer: str) -> list[TrustedIssuer]:
    """Return the trusted issuers with this `issuer`, in slug order."""
    statement = select(trusted_issuers).where(trusted_issuers.c.issuer == issuer)
    return loaded(connection, statement.order_by(trusted_issuers.c.slug))


def of_issuers(connection: Connection, issuers: Collection[str]) -> list[TrustedIssuer]:
    """Return the trusted issuers with one of these `issuer`s, in slug order."""
    statement = select(trusted_issuers).where(trusted_issuers.c.issuer.in_(issuers))
    return loaded(connection, statement.order_by(trusted_issuers.c.slug))


def of_kinds(connection: Connection, kinds: Collection[TrustedIssuerKind]) -> list[TrustedIssuer]:
    """Return the trusted issuers of these kinds, in slug order."""
    statement = select(trusted_issuers).where(trusted_issuers.c.kind.in_(kinds))
    return loaded(connection, statement.order_by(trusted_issuers.c.slug))


def loaded(connection: Connection, statement: Select[Any]) -> list[TrustedIssuer]:
    return list(map(_trusted_issuer, connection.execute(statement)))


def _row_of(trusted_issuer: TrustedIssuer) -> dict[str, Any]:
    its, cluster = plain_terms(trusted_issuer), trusted_issuer.cluster
    configuration = {name: its[name] for name in _CONFIGURED}
    configuration["cluster"] = None if cluster is None else asdict(cluster)
    return rows.write(trusted_issuers, trusted_issuer, configuration=configuration)


def _trusted_issuer(row: Row[Any]) -> TrustedIssuer:
    cluster = row.configuration.get("cluster") or {}  # older rows do not know of it
    terms = {name: cluster[its] for name, its in CLUSTER_TERMS.items() if cluster}
    return rows.read_values(TrustedIssuer, {**row._mapping, **row.configuration, **terms})


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
_keys = trusted_issuer_keys.c


def keep_keys(
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
    statement = _insert_keys(connection, trusted_issuer, row)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["trusted_issuer_id"],
            set_={name: new[name] for name in ("revision", *row)},
            where=or_(
                _keys.revision < new.revision,
                and_(
                    _keys.revision == new.revision, or_(_keys.fetched_at.is_(None), _keys.fetched_at <= new.fetched_at)
                ),
            ),
        )
    )


def keep_key_failure(
    connection: Connection, trusted_issuer: TrustedIssuer, *, failed_at: datetime, failure: str
) -> None:
    """Store the failure of a fetch for this revision of the trusted issuer.

    The stored key set and its age do not change. A key set of an older revision is deleted.
    """
    statement = _insert_keys(
        connection, trusted_issuer, {"failed_at": literal(failed_at, Instant), "failure": literal(failure, Text)}
    )
    new = statement.excluded
    same = _keys.revision == new.revision
    stays = {name: case((same, _keys[name]), else_=null()) for name in ("jwks", "fetched_at", "refresh_seconds")}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["trusted_issuer_id"],
            set_={"revision": new.revision, "failed_at": new.failed_at, "failure": new.failure, **stays},
            where=_keys.revision <= new.revision,
        )
    )


def carry_keys_over(connection: Connection, trusted_issuer: TrustedIssuer) -> None:
    """Keep the stored keys for the new revision of the trusted issuer.

    Call this after an edit that does not change the origin of the keys.
    """
    moved = update(trusted_issuer_keys).where(
        _keys.trusted_issuer_id == trusted_issuer.id, _keys.revision == trusted_issuer.revision - 1
    )
    connection.execute(moved.values(revision=trusted_issuer.revision))


def find_keys(connection: Connection, trusted_issuer: TrustedIssuer) -> KeptKeys | None:
    """Return the stored keys of this revision of the trusted issuer."""
    statement = select(trusted_issuer_keys).where(
        _keys.trusted_issuer_id == trusted_issuer.id, _keys.revision == trusted_issuer.revision
    )
    row = connection.execute(statement).first()
    return None if row is None else rows.read(KeptKeys, row)


def _insert_keys(connection: Connection, trusted_issuer: TrustedIssuer, row: Mapping[str, Any]) -> Any:
    """Return an insert statement for this row.

    The statement does nothing if the trusted issuer was removed or has another revision.
    """
    upsert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    current = select(trusted_issuers.c.id, trusted_issuers.c.revision, *row.values()).where(
        trusted_issuers.c.id == trusted_issuer.id, trusted_issuers.c.revision == trusted_issuer.revision
    )
    return upsert(trusted_issuer_keys).from_select(["trusted_issuer_id", "revision", *row], current)
