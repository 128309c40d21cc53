"""The table of trusted issuers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Integer,
    Row,
    Select,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from authsec_server.db import rows
from authsec_server.db.matching import matches, neighbours
from authsec_server.db.schema import Instant, metadata
from authsec_server.issuers.model import CLUSTER_TERMS, TERMS, TrustedIssuer, TrustedIssuerKind, plain_terms
from authsec_server.naming import is_uuid

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


def find(connection: Connection, id_or_slug: str) -> TrustedIssuer | None:
    """Return the trusted issuer with this id or slug."""
    column = trusted_issuers.c.id if is_uuid(id_or_slug) else trusted_issuers.c.slug
    return next(iter(_loaded(connection, select(trusted_issuers).where(column == id_or_slug))), None)


def slugs_near(connection: Connection, slug: str) -> list[str]:
    """Return the slugs that sort closest to this slug, for suggestions."""
    return neighbours(connection, trusted_issuers.c.slug, slug)


def by_ids(connection: Connection, ids: Collection[str]) -> dict[str, TrustedIssuer]:
    """Map these ids to their trusted issuers. Unknown ids are left out.

    Any number of ids needs only one statement.
    """
    statement = select(trusted_issuers).where(trusted_issuers.c.id.in_(ids))
    return {trusted_issuer.id: trusted_issuer for trusted_issuer in _loaded(connection, statement)}


def of_issuer(connection: Connection, issuer: str) -> list[TrustedIssuer]:
    """Return the trusted issuers with this `issuer`, in slug order."""
    statement = select(trusted_issuers).where(trusted_issuers.c.issuer == issuer)
    return _loaded(connection, statement.order_by(trusted_issuers.c.slug))


def of_kinds(connection: Connection, kinds: Collection[TrustedIssuerKind]) -> list[TrustedIssuer]:
    """Return the trusted issuers of these kinds, in slug order."""
    statement = select(trusted_issuers).where(trusted_issuers.c.kind.in_(kinds))
    return _loaded(connection, statement.order_by(trusted_issuers.c.slug))


def page(connection: Connection, *, text: str, after: str, limit: int) -> list[TrustedIssuer]:
    """Return the trusted issuers that match the text, after the slug `after`, in slug order."""
    columns = trusted_issuers.c
    behind = select(trusted_issuers).where(columns.slug > after).order_by(columns.slug).limit(limit)
    if text:
        behind = behind.where(matches(text, columns.id, columns.name, columns.slug, columns.issuer))
    return _loaded(connection, behind)


def _loaded(connection: Connection, statement: Select[Any]) -> list[TrustedIssuer]:
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
