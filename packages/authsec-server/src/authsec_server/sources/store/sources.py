"""The table of trust sources."""

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
from authsec_server.naming import is_uuid
from authsec_server.sources.model import ClusterApi, KeysFrom, SourceKind, TrustSource

trust_sources = Table(
    "trust_sources",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("slug", String(63), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("kind", String(20), nullable=False),  # kubernetes | spiffe | oidc
    Column("issuer", Text, nullable=False, index=True),  # of several sources, if each has keys of its own
    Column("configuration", JSON, nullable=False),  # where its keys come from, what its tokens are for, its claims
    Column("revision", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant),
    Column("changed_by", Text),
)


def add(connection: Connection, source: TrustSource) -> None:
    """Insert the source."""
    fixed = {"id": source.id, "slug": source.slug, "kind": source.kind, "created_at": source.created_at}
    connection.execute(insert(trust_sources).values(fixed | _changing(source)))


def save(connection: Connection, source: TrustSource) -> None:
    """Write what a change may change of it."""
    connection.execute(update(trust_sources).where(trust_sources.c.id == source.id).values(_changing(source)))


def remove(connection: Connection, source_id: str) -> None:
    """Delete the source with the keys that were kept for it."""
    connection.execute(delete(trust_sources).where(trust_sources.c.id == source_id))


def find(connection: Connection, id_or_slug: str) -> TrustSource | None:
    """The source, by either of its names."""
    column = trust_sources.c.id if is_uuid(id_or_slug) else trust_sources.c.slug
    return next(iter(_loaded(connection, select(trust_sources).where(column == id_or_slug))), None)


def slugs_near(connection: Connection, slug: str) -> list[str]:
    """The slugs around this one, which none has."""
    return neighbours(connection, trust_sources.c.slug, slug)


def by_ids(connection: Connection, ids: Collection[str]) -> dict[str, TrustSource]:
    """The sources with these ids, by id; unknown ids are left out. One statement, however many."""
    statement = select(trust_sources).where(trust_sources.c.id.in_(ids))
    return {source.id: source for source in _loaded(connection, statement)}


def of_issuer(connection: Connection, issuer: str) -> list[TrustSource]:
    """The sources of this issuer, by slug."""
    statement = select(trust_sources).where(trust_sources.c.issuer == issuer)
    return _loaded(connection, statement.order_by(trust_sources.c.slug))


def of_kinds(connection: Connection, kinds: Collection[SourceKind]) -> list[TrustSource]:
    """The sources of these kinds, by slug."""
    statement = select(trust_sources).where(trust_sources.c.kind.in_(kinds))
    return _loaded(connection, statement.order_by(trust_sources.c.slug))


def page(connection: Connection, *, text: str, after: str, limit: int) -> list[TrustSource]:
    """Sources that match the text, by slug, from the first one behind `after`."""
    columns = trust_sources.c
    behind = select(trust_sources).where(columns.slug > after).order_by(columns.slug).limit(limit)
    if text:
        behind = behind.where(matches(text, columns.id, columns.name, columns.slug, columns.issuer))
    return _loaded(connection, behind)


def _changing(source: TrustSource) -> dict[str, Any]:
    return {
        "name": source.name,
        "issuer": source.issuer,
        "configuration": {
            "keys_from": source.keys_from,
            "keys_url": source.keys_url,
            "given_keys": source.given_keys,
            "ca": source.ca,
            "audience": source.audience,
            "claims": dict(source.claims),
            "cluster": None if source.cluster is None else asdict(source.cluster),
        },
        "revision": source.revision,
        "enabled": source.enabled,
        "changed_at": source.changed_at,
        "changed_by": source.changed_by or None,
    }


def _loaded(connection: Connection, statement: Select[Any]) -> list[TrustSource]:
    return list(map(_source, connection.execute(statement)))


def _source(row: Row[Any]) -> TrustSource:
    its = row.configuration
    return TrustSource(
        id=row.id,
        slug=row.slug,
        name=row.name,
        kind=SourceKind(row.kind),
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
