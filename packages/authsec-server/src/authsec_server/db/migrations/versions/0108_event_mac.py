"""The MAC of each event: a server does not seal events without one. Events that wait for their seal now get none."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, LargeBinary

revision = "0108"
down_revision = "0107"
branch_labels = None
depends_on = None
oldest_release = "0.1.0"


def upgrade() -> None:
    op.add_column("events", Column("mac", LargeBinary))
