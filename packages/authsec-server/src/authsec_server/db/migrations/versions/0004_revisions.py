"""What editing and listing roles, APIs and delegations needs."""

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import Column, Integer, Text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("roles", "apis", "delegations"):
        op.add_column(table, Column("revision", Integer(), nullable=False, server_default="1"))
        op.add_column(table, Column("changed_at", Instant()))
        op.add_column(table, Column("changed_by", Text()))
