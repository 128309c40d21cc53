"""The release that made the schema, the oldest release that may run on the schema, and the columns of digests."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String, Text

revision = "0109"
down_revision = "0108"
branch_labels = None
depends_on = None
oldest_release = "0.1.0"


def upgrade() -> None:
    op.add_column("authority", Column("schema_release", String(20), nullable=False, server_default=""))
    op.add_column("authority", Column("oldest_release", String(20), nullable=False, server_default=""))
    op.add_column("authority", Column("later_columns", Text, nullable=False, server_default="{}"))
