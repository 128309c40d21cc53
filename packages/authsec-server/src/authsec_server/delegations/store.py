"""The table of trust delegations."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Integer, String, Table, Text

from authsec_server.db.schema import Instant, metadata

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
)
