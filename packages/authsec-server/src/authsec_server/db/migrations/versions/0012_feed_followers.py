"""Who was seen at the revocation feed, by audience."""

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import Column, PrimaryKeyConstraint, Text

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feed_followers",
        Column("audience", Text(), nullable=False),
        Column("seen_at", Instant(), nullable=False),
        Column("proved_at", Instant()),
        PrimaryKeyConstraint("audience", name="pk_feed_followers"),
    )
