"""The table of signing keys."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, LargeBinary, String, Table

from authsec_server.db.schema import Instant, metadata

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", String(43), primary_key=True),  # the RFC 7638 thumbprint
    Column("state", String(10), nullable=False),  # prepared | active | retired | gone
    Column("public_jwk", JSON, nullable=False),
    Column("sealed_private", LargeBinary),  # AES-256-GCM under the master key; None once gone
    Column("created_at", Instant, nullable=False),
    Column("activated_at", Instant),
    Column("retired_at", Instant),
    Column("publish_until", Instant),  # when the last token it signed is dead for certain
    Index("ix_signing_keys_state", "state"),
)
