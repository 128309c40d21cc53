"""Credentials of APIs: by them the authority knows which API asks about a token."""

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import Column, ForeignKeyConstraint, PrimaryKeyConstraint, String, Text, UniqueConstraint

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_credentials",
        Column("id", String(36), nullable=False),
        Column("api_id", String(36), nullable=False),
        Column("name", Text(), nullable=False),
        Column("secret_sha256", String(64), nullable=False),
        Column("created_at", Instant(), nullable=False),
        Column("expires_at", Instant()),
        Column("last_used_at", Instant()),
        Column("revoked_at", Instant()),
        ForeignKeyConstraint(["api_id"], ["apis.id"], name="fk_api_credentials_api_id", ondelete="CASCADE"),
        PrimaryKeyConstraint("id", name="pk_api_credentials"),
        UniqueConstraint("secret_sha256", name="uq_api_credentials_secret_sha256"),
    )
    op.create_index("ix_api_credentials_api_id", "api_credentials", ["api_id"])
