"""Whether a trust delegation requires DPoP. Existing delegations do not require it."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String

revision = "0106"
down_revision = "0105"
branch_labels = None
depends_on = None
oldest_release = "0.1.0"


def upgrade() -> None:
    op.add_column("delegations", Column("require_dpop", String(5), nullable=False, server_default="false"))
