"""The tables of roles and their actions."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table, Text

from authsec_server.db.schema import Instant, metadata

roles = Table(
    "roles",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("slug", String(63), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

role_actions = Table(
    "role_actions",
    metadata,
    Column("role_id", String(36), ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    Column("action", String(127), primary_key=True),
)
