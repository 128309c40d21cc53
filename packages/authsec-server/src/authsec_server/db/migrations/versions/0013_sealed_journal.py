"""The log that seals the journal: hashes of its events, signed heads, and the key that signs them."""

from alembic import op
from authsec_server.db.schema import BigId, Instant
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, String, Text, UniqueConstraint

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sealed_events",
        Column("position", BigId, autoincrement=False, nullable=False),
        Column("event_id", BigInteger(), nullable=False),
        Column("hash", LargeBinary(), nullable=False),
        PrimaryKeyConstraint("position", name="pk_sealed_events"),
        UniqueConstraint("event_id", name="uq_sealed_events_event_id"),
    )
    op.create_table(
        "seal_heads",
        Column("size", BigId, autoincrement=False, nullable=False),
        Column("at", Instant(), nullable=False),
        Column("signed", Text(), nullable=False),
        PrimaryKeyConstraint("size", name="pk_seal_heads"),
    )
    op.create_table(
        "sealing_keys",
        Column("kid", String(43), nullable=False),
        Column("sealed_private", LargeBinary(), nullable=False),
        Column("created_at", Instant(), nullable=False),
        PrimaryKeyConstraint("kid", name="pk_sealing_keys"),
    )
