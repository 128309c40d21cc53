"""The revision that wrote an action of a role or an audience of a delegation. Existing rows get 1."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Integer

revision = "0104"
down_revision = "0103"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("role_actions", "delegation_audiences"):
        op.add_column(table, Column("revision", Integer, nullable=False, server_default="1"))
