"""The table of trust delegations."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from authsec_server.clients.model import ProofKind
from authsec_server.db.matching import neighbours
from authsec_server.db.schema import Instant, metadata
from authsec_server.delegations.model import Delegation, TargetType
from authsec_server.naming import is_uuid, only_one

delegations = Table(
    "delegations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("slug", String(63)),  # null: given up to a later one
    Column("role_id", String(36), ForeignKey("roles.id"), nullable=False),
    Column("client_id", String(36), ForeignKey("clients.id"), nullable=False, index=True),
    Column("target_type", String(40), nullable=False),
    Column("actions", JSON, nullable=False),  # Allowed Actions, sorted
    Column("max_duration", Integer, nullable=False),  # seconds
    Column("audiences", JSON, nullable=False),  # empty: the setting default_audience
    Column("excluded_proofs", JSON, nullable=False),  # proof kinds that do not suffice
    Column("ends_at", Instant),
    Column("enabled", Boolean, nullable=False),
    Column("revoked_at", Instant),
    Column("owner", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("changed_at", Instant),
    Column("changed_by", Text),
)

# For each order of the lists, with all that they filter by: what is rare is found without reading the table.
_STATE = [delegations.c[name] for name in ("enabled", "revoked_at", "ends_at")]
_PARTIES = [delegations.c[name] for name in ("role_id", "client_id", "target_type")]
Index("ix_delegations_created_at", delegations.c.created_at, delegations.c.id, *_PARTIES, *_STATE, delegations.c.slug)
Index("ix_delegations_role_id_created_at", delegations.c.role_id, delegations.c.created_at, delegations.c.id, *_STATE)
Index("uq_delegations_slug", delegations.c.slug, unique=True)
Index("ix_delegations_ends_at", delegations.c.ends_at, delegations.c.id)

delegation_audiences = Table(  # the audiences once more, for lists of who may call an API
    "delegation_audiences",
    metadata,
    Column("delegation_id", String(36), ForeignKey("delegations.id", ondelete="CASCADE"), primary_key=True),
    Column("audience", Text, primary_key=True),
    Column("created_at", Instant, nullable=False),  # the delegation's: it is listed in that order
    Index("ix_delegation_audiences_audience", "audience", "created_at", "delegation_id"),
)

NO_AUDIENCE = ""
"""Stands among the audiences for a delegation that names none."""


def add(connection: Connection, delegation: Delegation) -> None:
    """Insert the delegation."""
    connection.execute(insert(delegations), _row_of(delegation))
    _add_audiences(connection, delegation)


def save(connection: Connection, delegation: Delegation) -> None:
    """Write what can change of the delegation; its audiences are written by a function of their own."""
    connection.execute(update(delegations).where(delegations.c.id == delegation.id), _row_of(delegation))


def save_audiences(connection: Connection, delegation: Delegation) -> None:
    """Have lists find it by the audiences that it has now."""
    connection.execute(delete(delegation_audiences).where(delegation_audiences.c.delegation_id == delegation.id))
    _add_audiences(connection, delegation)


def find(connection: Connection, id_or_slug: str) -> Delegation | None:
    """The delegation, by either of its names."""
    column = delegations.c.id if is_uuid(id_or_slug) else delegations.c.slug
    row = only_one(connection.execute(select(delegations).where(column == id_or_slug)).all(), id_or_slug)
    return None if row is None else delegation(row)


def slugs_near(connection: Connection, slug: str) -> list[str]:
    """The slugs around this one, which none has."""
    return neighbours(connection, delegations.c.slug, slug)


def by_ids(connection: Connection, ids: Collection[str]) -> list[Delegation]:
    """Those of these delegations that are there, by id."""
    statement = select(delegations).where(delegations.c.id.in_(ids)).order_by(delegations.c.id)
    return [delegation(row) for row in connection.execute(statement)]


def of_client(connection: Connection, client_id: str) -> list[Delegation]:
    """All of the client's delegations, whatever their state, by id."""
    statement = select(delegations).where(delegations.c.client_id == client_id).order_by(delegations.c.id)
    return [delegation(row) for row in connection.execute(statement)]


def of_clients(connection: Connection, client_ids: Collection[str]) -> list[Delegation]:
    """All delegations of these clients, whatever their state, by id."""
    statement = select(delegations).where(delegations.c.client_id.in_(client_ids)).order_by(delegations.c.id)
    return [delegation(row) for row in connection.execute(statement)]


def of_role(connection: Connection, role_id: str) -> list[Delegation]:
    """All delegations of the role, whatever their state, by id."""
    statement = select(delegations).where(delegations.c.role_id == role_id).order_by(delegations.c.id)
    return [delegation(row) for row in connection.execute(statement)]


def remove_of_client(connection: Connection, client_id: str) -> None:
    """Delete all of the client's delegations."""
    connection.execute(delete(delegations).where(delegations.c.client_id == client_id))


def remove_of_role(connection: Connection, role_id: str) -> None:
    """Delete all delegations of the role."""
    connection.execute(delete(delegations).where(delegations.c.role_id == role_id))


def delegation(row: Row[Any]) -> Delegation:
    """The row as it is meant."""
    return Delegation(
        id=row.id,
        slug=row.slug or "",
        role_id=row.role_id,
        client_id=row.client_id,
        target_type=TargetType(row.target_type),
        actions=tuple(row.actions),
        max_duration=row.max_duration,
        audiences=tuple(row.audiences),
        excluded_proofs=tuple(ProofKind(kind) for kind in row.excluded_proofs),
        ends_at=row.ends_at,
        enabled=row.enabled,
        revoked_at=row.revoked_at,
        owner=row.owner,
        description=row.description,
        created_at=row.created_at,
        revision=row.revision,
        changed_at=row.changed_at,
        changed_by=row.changed_by or "",
    )


def _add_audiences(connection: Connection, delegation: Delegation) -> None:
    named = delegation.audiences or (NO_AUDIENCE,)
    rows = [
        {"delegation_id": delegation.id, "audience": audience, "created_at": delegation.created_at}
        for audience in named
    ]
    connection.execute(insert(delegation_audiences), rows)


def _row_of(delegation: Delegation) -> dict[str, Any]:
    return {
        "id": delegation.id,
        "slug": delegation.slug or None,
        "role_id": delegation.role_id,
        "client_id": delegation.client_id,
        "target_type": delegation.target_type,
        "actions": list(delegation.actions),
        "max_duration": delegation.max_duration,
        "audiences": list(delegation.audiences),
        "excluded_proofs": list(delegation.excluded_proofs),
        "ends_at": delegation.ends_at,
        "enabled": delegation.enabled,
        "revoked_at": delegation.revoked_at,
        "owner": delegation.owner,
        "description": delegation.description,
        "created_at": delegation.created_at,
        "revision": delegation.revision,
        "changed_at": delegation.changed_at,
        "changed_by": delegation.changed_by,
    }
