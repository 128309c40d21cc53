"""The algorithm that signs the tokens of an API. Existing APIs get RS256."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String

revision = "0103"
down_revision = "0102"
branch_labels = None
depends_on = None
oldest_release = "0.1.0"


def upgrade() -> None:
    op.add_column("apis", Column("signing_algorithm", String(10), nullable=False, server_default="RS256"))
