"""What proofs that rest on a trust source need: finding those of one, and whether its word counts."""

from alembic import op
from sqlalchemy import Boolean, Column, true

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("proofs", Column("source_enabled", Boolean(), nullable=False, server_default=true()))
    op.create_index("ix_proofs_source_id", "proofs", ["source_id"])
