"""The id of the master key, so that a server with another master key writes nothing."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String

revision = "0110"
down_revision = "0109"
branch_labels = None
depends_on = None
oldest_release = "0.1.0"


def upgrade() -> None:
    op.add_column("authority", Column("master_key_id", String(32), nullable=False, server_default=""))
