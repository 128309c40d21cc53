"""The table of admin keys."""

from __future__ import annotations

from sqlalchemy import Column, String, Table, Text

from authsec_server.db.schema import Instant, metadata

admin_keys = Table(
    "admin_keys",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", String(10), nullable=False),
    Column("key_sha256", String(64), nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("last_used_at", Instant),
    Column("revoked_at", Instant),
)
