"""Administrators, their sessions and one-time links."""

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, String, Text, UniqueConstraint

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "administrators",
        Column("id", String(36), nullable=False),
        Column("email", String(254), nullable=False),
        Column("name", Text(), nullable=False),
        Column("role", String(10), nullable=False),
        Column("password_hash", Text()),
        Column("issuer", Text()),
        Column("subject", String(255)),
        Column("created_at", Instant(), nullable=False),
        Column("last_sign_in_at", Instant()),
        Column("disabled_at", Instant()),
        Column("revision", Integer(), server_default="1", nullable=False),
        Column("changed_at", Instant()),
        Column("changed_by", Text()),
        PrimaryKeyConstraint("id", name="pk_administrators"),
        UniqueConstraint("email", name="uq_administrators_email"),
        UniqueConstraint("issuer", "subject", name="uq_administrators_issuer_subject"),
    )
    op.create_table(
        "sessions",
        Column("id", String(36), nullable=False),
        Column("cookie_sha256", String(64), nullable=False),
        Column("administrator_id", String(36), nullable=False),
        Column("method", String(10), nullable=False),
        Column("created_at", Instant(), nullable=False),
        Column("last_seen_at", Instant(), nullable=False),
        Column("address", String(45), nullable=False),
        Column("user_agent", Text(), nullable=False),
        Column("ended_at", Instant()),
        PrimaryKeyConstraint("id", name="pk_sessions"),
        ForeignKeyConstraint(["administrator_id"], ["administrators.id"], name="fk_sessions_administrator_id"),
        UniqueConstraint("cookie_sha256", name="uq_sessions_cookie_sha256"),
    )
    op.create_index("ix_sessions_administrator_id", "sessions", ["administrator_id"])
    op.create_table(
        "setup_links",
        Column("id", String(36), nullable=False),
        Column("code_sha256", String(64), nullable=False),
        Column("purpose", String(20), nullable=False),
        Column("administrator_id", String(36)),
        Column("created_at", Instant(), nullable=False),
        Column("expires_at", Instant(), nullable=False),
        Column("used_at", Instant()),
        Column("voided_at", Instant()),
        PrimaryKeyConstraint("id", name="pk_setup_links"),
        ForeignKeyConstraint(["administrator_id"], ["administrators.id"], name="fk_setup_links_administrator_id"),
        UniqueConstraint("code_sha256", name="uq_setup_links_code_sha256"),
    )
    op.create_index("ix_setup_links_administrator_id", "setup_links", ["administrator_id"])
