"""Enrolment: keys that machines make for themselves for some hours, and the one-time codes by which they may."""

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, String, Text, UniqueConstraint

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("proofs", Column("enrolled_by", Text()))
    op.add_column("proofs", Column("machine", Text()))
    op.create_index("ix_proofs_kind", "proofs", ["kind", "expires_at", "client_id"])
    op.create_table(
        "enrolments",
        Column("id", String(36), nullable=False),
        Column("client_id", String(36), nullable=False),
        Column("code_sha256", String(64), nullable=False),
        Column("hours", Integer(), nullable=False),
        Column("made_by_kind", String(20), nullable=False),
        Column("made_by_id", String(36), nullable=False),
        Column("made_by_name", Text(), nullable=False),
        Column("created_at", Instant(), nullable=False),
        Column("expires_at", Instant(), nullable=False),
        ForeignKeyConstraint(["client_id"], ["clients.id"], name="fk_enrolments_client_id", ondelete="CASCADE"),
        PrimaryKeyConstraint("id", name="pk_enrolments"),
        UniqueConstraint("code_sha256", name="uq_enrolments_code_sha256"),
    )
    op.create_index("ix_enrolments_client_id", "enrolments", ["client_id"])
    op.create_index("ix_enrolments_expires_at", "enrolments", ["expires_at"])
