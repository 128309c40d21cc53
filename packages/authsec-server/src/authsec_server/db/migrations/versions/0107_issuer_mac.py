"""The MAC of the issuer of the last server. Commands refuse an issuer without it until a server has started."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String

revision = "0107"
down_revision = "0106"
branch_labels = None
depends_on = None
oldest_release = "0.1.0"


def upgrade() -> None:
    op.add_column("authority", Column("issuer_mac", String(64)))
