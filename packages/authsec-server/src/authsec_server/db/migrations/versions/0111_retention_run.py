"""The last run and the next run of the scheduled retention of the audit log."""

from __future__ import annotations

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import BigInteger, Column, Integer, String, Text

revision = "0111"
down_revision = "0110"
branch_labels = None
depends_on = None
oldest_release = "0.1.0"


def upgrade() -> None:
    op.create_table(
        "retention_run",
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("busy_until", Instant),
        Column("next_at", Instant),
        Column("began_at", Instant),
        Column("ended_at", Instant),
        Column("outcome", String(10), nullable=False),
        Column("month", String(7), nullable=False),
        Column("events", BigInteger, nullable=False),
        Column("export", Text, nullable=False),
        Column("export_sha256", String(64), nullable=False),
        Column("problem", Text, nullable=False),
    )
