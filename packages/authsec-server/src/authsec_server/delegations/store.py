"""The table of trust delegations."""

from __future__ import annotations

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
    String,
    Table,
    Text,
    insert,
    select,
    tuple_,
    update,
)

from authsec_server.clients.model import ProofKind
from authsec_server.db.schema import Instant, metadata
from authsec_server.delegations.model import Delegation, TargetType

delegations = Table(
    "delegations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("role_id", String(36), ForeignKey("roles.id"), nullable=False, index=True),
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


def add(connection: Connection, delegation: Delegation) -> None:
    """Insert the delegation."""
    connection.execute(
        insert(delegations).values(
            id=delegation.id,
            role_id=delegation.role_id,
            client_id=delegation.client_id,
            target_type=delegation.target_type,
            actions=list(delegation.actions),
            max_duration=delegation.max_duration,
            audiences=list(delegation.audiences),
            excluded_proofs=list(delegation.excluded_proofs),
            ends_at=delegation.ends_at,
            enabled=delegation.enabled,
            revoked_at=delegation.revoked_at,
            owner=delegation.owner,
            description=delegation.description,
            created_at=delegation.created_at,
        )
    )


def set_enabled(connection: Connection, delegation_id: str, enabled: bool) -> None:
    """Turn the delegation on or off."""
    connection.execute(update(delegations).where(delegations.c.id == delegation_id).values(enabled=enabled))


def set_revoked(connection: Connection, delegation_id: str, now: datetime) -> None:
    """Mark the delegation as revoked."""
    connection.execute(update(delegations).where(delegations.c.id == delegation_id).values(revoked_at=now))


def find(connection: Connection, delegation_id: str) -> Delegation | None:
    """The delegation with this id."""
    row = connection.execute(select(delegations).where(delegations.c.id == delegation_id)).one_or_none()
    return None if row is None else _delegation(row)


def of_client(connection: Connection, client_id: str) -> list[Delegation]:
    """All of the client's delegations, whatever their state, by id."""
    statement = select(delegations).where(delegations.c.client_id == client_id).order_by(delegations.c.id)
    return [_delegation(row) for row in connection.execute(statement)]


def page(connection: Connection, *, after: Delegation | None, limit: int) -> list[Delegation]:
    """Delegations, the newest first, from the first one behind `after`."""
    order = tuple_(delegations.c.created_at, delegations.c.id)
    statement = select(delegations).order_by(delegations.c.created_at.desc(), delegations.c.id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(order < tuple_(after.created_at, after.id))
    return [_delegation(row) for row in connection.execute(statement)]


def _delegation(row: Row[Any]) -> Delegation:
    return Delegation(
        id=row.id,
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
