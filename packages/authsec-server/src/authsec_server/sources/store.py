"""The table of trust sources."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Integer, String, Table, Text

from authsec_server.db.schema import Instant, metadata

trust_sources = Table(
    "trust_sources",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("slug", String(63), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("kind", String(20), nullable=False),  # kubernetes | spiffe | oidc
    Column("issuer", Text, nullable=False, unique=True),
    Column("configuration", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
)
