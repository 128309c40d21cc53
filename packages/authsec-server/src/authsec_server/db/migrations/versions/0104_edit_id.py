"""The random id of the edit that wrote an action of a role or an audience of a delegation. Empty without an edit."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String

revision = "0104"
down_revision = "0103"
branch_labels = None
depends_on = None
oldest_release = "0.1.0"


def upgrade() -> None:
    for table in ("role_actions", "delegation_audiences"):
        op.add_column(table, Column("edit_id", String(16), nullable=False, server_default=""))
