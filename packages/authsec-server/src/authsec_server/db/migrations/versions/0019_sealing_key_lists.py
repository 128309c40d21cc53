"""The public keys of the audit log where the private one is in a file: a list for each such key, signed by it."""

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import Column, PrimaryKeyConstraint, String, Text

revision = "0019"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sealing_key_lists",
        Column("kid", String(43), nullable=False),
        Column("signed", Text(), nullable=False),
        Column("created_at", Instant(), nullable=False),
        PrimaryKeyConstraint("kid", name="pk_sealing_key_lists"),
    )
