"""The random id of the change that made the authority's version."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String

revision = "0102"
down_revision = "0101"
branch_labels = None
depends_on = None
oldest_release = "0.1.0"


def upgrade() -> None:
    op.add_column("authority", Column("change_id", String(32), nullable=False, server_default=""))
