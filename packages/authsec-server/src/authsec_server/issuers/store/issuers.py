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

from authsec_server.db.matching import matches, neighbours
from authsec_server.db.schema import Instant, metadata
from authsec_server.issuers.model import ClusterApi, KeysFrom, TrustedIssuer, TrustedIssuerKind
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


def add(connection: Connection, trusted_issuer: TrustedIssuer) -> None:
    """Insert the trusted issuer."""
    fixed = {
        "id": trusted_issuer.id,
        "slug": trusted_issuer.slug,
        "kind": trusted_issuer.kind,
        "created_at": trusted_issuer.created_at,
    }
    connection.execute(insert(trusted_issuers).values(fixed | _changing(trusted_issuer)))


def save(connection: Connection, trusted_issuer: TrustedIssuer) -> None:
    """Update the columns that a change can affect."""
    connection.execute(
        update(trusted_issuers).where(trusted_issuers.c.id == trusted_issuer.id).values(_changing(trusted_issuer))
    )


def remove(connection: Connection, trusted_issuer_id: str) -> None:
    """Delete the trusted issuer with its stored keys."""
    connection.execute(delete(trusted_issuers).where(trusted_issuers.c.id == trusted_issuer_id))


def find(connection: Connection, id_or_slug: str) -> TrustedIssuer | None:
    """Return the trusted issuer with this id or slug."""
    column = trusted_issuers.c.id if is_uuid(id_or_slug) else trusted_issuers.c.slug
    return next(iter(_loaded(connection, select(trusted_issuers).where(column == id_or_slug))), None)


def slugs_near(connection: Connection, slug: str) -> list[str]:
    """Return the slugs that sort next to this one."""
    return neighbours(connection, trusted_issuers.c.slug, slug)


def by_ids(connection: Connection, ids: Collection[str]) -> dict[str, TrustedIssuer]:
    """Return the trusted issuers with these ids, by id, without unknown ids. One statement for any number of ids."""
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


def _changing(trusted_issuer: TrustedIssuer) -> dict[str, Any]:
    return {
        "name": trusted_issuer.name,
        "issuer": trusted_issuer.issuer,
        "configuration": {
            "keys_from": trusted_issuer.keys_from,
            "keys_url": trusted_issuer.keys_url,
            "given_keys": trusted_issuer.given_keys,
            "ca": trusted_issuer.ca,
            "audience": trusted_issuer.audience,
            "claims": dict(trusted_issuer.claims),
            "cluster": None if trusted_issuer.cluster is None else asdict(trusted_issuer.cluster),
        },
        "revision": trusted_issuer.revision,
        "enabled": trusted_issuer.enabled,
        "changed_at": trusted_issuer.changed_at,
        "changed_by": trusted_issuer.changed_by or None,
    }


def _loaded(connection: Connection, statement: Select[Any]) -> list[TrustedIssuer]:
    return list(map(_trusted_issuer, connection.execute(statement)))


def _trusted_issuer(row: Row[Any]) -> TrustedIssuer:
    its = row.configuration
    return TrustedIssuer(
        id=row.id,
        slug=row.slug,
        name=row.name,
        kind=TrustedIssuerKind(row.kind),
        issuer=row.issuer,
        keys_from=KeysFrom(its["keys_from"]),
        keys_url=its["keys_url"],
        given_keys=its["given_keys"],
        ca=its["ca"],
        audience=its["audience"],
        claims=its["claims"],
        cluster=ClusterApi(**cluster) if (cluster := its.get("cluster")) else None,  # older rows do not know of it
        enabled=row.enabled,
        created_at=row.created_at,
        revision=row.revision,
        changed_at=row.changed_at,
        changed_by=row.changed_by or "",
    )
