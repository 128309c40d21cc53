"""An index of the clients, delegations, roles and proofs that were used. The dashboard finds the unused ones by it."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0105"
down_revision = "0104"
branch_labels = None
depends_on = None
oldest_release = "0.1.0"


def upgrade() -> None:
    granted = text("granted_at IS NOT NULL")
    op.create_index(
        "ix_last_uses_granted",
        "last_uses",
        ["subject_id", "granted_at"],
        sqlite_where=granted,
        postgresql_where=granted,
    )
