"""The keys that sign the heads of the revocation feed, and an index by which old entries are found."""

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import Column, LargeBinary, PrimaryKeyConstraint, String

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feed_keys",
        Column("kid", String(43), nullable=False),
        Column("sealed_private", LargeBinary(), nullable=False),
        Column("created_at", Instant(), nullable=False),
        PrimaryKeyConstraint("kid", name="pk_feed_keys"),
    )
    op.create_index("ix_revocations_at", "revocations", ["at"])
