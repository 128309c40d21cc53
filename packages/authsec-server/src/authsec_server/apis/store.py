"""The tables of protected APIs and of the actions that they describe."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table, Text

from authsec_server.db.schema import Instant, metadata

apis = Table(
    "apis",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("slug", String(63), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("kind", String(20), nullable=False),  # api | mcp_server
    Column("identifier", Text, nullable=False, unique=True),  # the audience: a URL or a registered name
    Column("description", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

api_actions = Table(
    "api_actions",
    metadata,
    Column("api_id", String(36), ForeignKey("apis.id", ondelete="CASCADE"), primary_key=True),
    Column("action", String(127), primary_key=True),
    Column("description", Text, nullable=False),
)
