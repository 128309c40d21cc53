"""The tables of clients and their proofs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Row,
    Select,
    String,
    Table,
    Text,
    insert,
    select,
    update,
)

from authsec_server.clients.model import Client, ClientKind, Platform, Proof, ProofKind, Selector
from authsec_server.db.schema import Instant, metadata
from authsec_server.naming import is_uuid

clients = Table(
    "clients",
    metadata,
    Column("id", String(36), primary_key=True),  # the client_id
    Column("slug", String(63), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("kind", String(20), nullable=False),  # ai_agent | mcp_server
    Column("platform", String(20), nullable=False),
    Column("owner", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
)

proofs = Table(
    "proofs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("client_id", String(36), ForeignKey("clients.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String(20), nullable=False),  # selectors | key_pair | secret | unattested
    Column("source_id", String(36), ForeignKey("trust_sources.id")),
    Column("selectors", JSON, nullable=False),  # [[key, value], …], in the order given
    Column("public_key", JSON(none_as_null=True)),  # a JWK (RFC 7517)
    Column("thumbprint", String(43)),  # its RFC 7638 thumbprint
    Column("secret_sha256", String(64)),
    Column("expires_at", Instant),
    Column("created_at", Instant, nullable=False),
)


def add(connection: Connection, client: Client) -> None:
    """Insert the client and its proofs."""
    connection.execute(
        insert(clients).values(
            id=client.id,
            slug=client.slug,
            name=client.name,
            kind=client.kind,
            platform=client.platform,
            owner=client.owner,
            description=client.description,
            labels=dict(client.labels),
            enabled=client.enabled,
            created_at=client.created_at,
        )
    )
    connection.execute(insert(proofs), [_row_of(proof) for proof in client.proofs])


def set_enabled(connection: Connection, client_id: str, enabled: bool) -> None:
    """Turn the client on or off."""
    connection.execute(update(clients).where(clients.c.id == client_id).values(enabled=enabled))


def by_ids(connection: Connection, ids: Collection[str]) -> dict[str, Client]:
    """The clients with these ids, by id; unknown ids are left out. Two statements, however many."""
    return {client.id: client for client in _loaded(connection, select(clients).where(clients.c.id.in_(ids)))}


def find(connection: Connection, id_or_slug: str) -> Client | None:
    """The client, by either of its names."""
    column = clients.c.id if is_uuid(id_or_slug) else clients.c.slug
    return next(iter(_loaded(connection, select(clients).where(column == id_or_slug))), None)


def page(connection: Connection, *, after: str, limit: int) -> list[Client]:
    """Clients by slug, from the first one behind `after`."""
    return _loaded(connection, select(clients).where(clients.c.slug > after).order_by(clients.c.slug).limit(limit))


def holder_of_key(connection: Connection, thumbprint: str) -> Client | None:
    """The client that proves itself with this key."""
    holders = select(proofs.c.client_id).where(proofs.c.thumbprint == thumbprint)
    return next(iter(_loaded(connection, select(clients).where(clients.c.id.in_(holders)))), None)


def _loaded(connection: Connection, statement: Select[Any]) -> list[Client]:
    rows = connection.execute(statement).all()
    held: dict[str, list[Proof]] = {row.id: [] for row in rows}
    if held:
        of_clients = select(proofs).where(proofs.c.client_id.in_(held)).order_by(proofs.c.created_at, proofs.c.id)
        for row in connection.execute(of_clients):
            held[row.client_id].append(_proof(row))
    return [_client(row, tuple(held[row.id])) for row in rows]


def _client(row: Row[Any], held: tuple[Proof, ...]) -> Client:
    return Client(
        id=row.id,
        slug=row.slug,
        name=row.name,
        kind=ClientKind(row.kind),
        platform=Platform(row.platform),
        owner=row.owner,
        description=row.description,
        labels=row.labels,
        enabled=row.enabled,
        created_at=row.created_at,
        proofs=held,
    )


def _proof(row: Row[Any]) -> Proof:
    return Proof(
        id=row.id,
        client_id=row.client_id,
        kind=ProofKind(row.kind),
        source_id=row.source_id,
        selectors=tuple(Selector(key=key, value=value) for key, value in row.selectors),
        public_key=row.public_key,
        thumbprint=row.thumbprint,
        expires_at=row.expires_at,
        created_at=row.created_at,
    )


def _row_of(proof: Proof) -> dict[str, Any]:
    return {
        "id": proof.id,
        "client_id": proof.client_id,
        "kind": proof.kind,
        "source_id": proof.source_id,
        "selectors": [[selector.key, selector.value] for selector in proof.selectors],
        "public_key": None if proof.public_key is None else dict(proof.public_key),
        "thumbprint": proof.thumbprint,
        "expires_at": proof.expires_at,
        "created_at": proof.created_at,
    }
