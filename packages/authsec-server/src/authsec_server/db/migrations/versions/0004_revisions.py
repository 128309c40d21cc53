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
    # For each order of the lists, with what they filter by most: what is rare is found without reading the table.
    state = ["enabled", "revoked_at", "ends_at"]
    op.create_index("ix_delegations_created_at", "delegations", ["created_at", "id", *state])
    op.drop_index("ix_delegations_role_id", "delegations")
    op.create_index("ix_delegations_role_id_created_at", "delegations", ["role_id", "created_at", "id", *state])
    op.create_index("ix_delegations_ends_at", "delegations", ["ends_at", "id"])
