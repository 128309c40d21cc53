"""The tables of clients and their proofs."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, ForeignKey, String, Table, Text

from authsec_server.db.schema import Instant, metadata

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
    Column("public_key", JSON),  # a JWK (RFC 7517)
    Column("thumbprint", String(43)),  # its RFC 7638 thumbprint
    Column("secret_sha256", String(64)),
    Column("expires_at", Instant),
    Column("created_at", Instant, nullable=False),
)
