"""What registering trust sources needs. Several clusters may call themselves by one issuer."""

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import JSON, Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, String, Text

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("trust_sources") as table:  # SQLite drops no constraint: the table is made anew
        table.drop_constraint("uq_trust_sources_issuer", type_="unique")
        table.add_column(Column("changed_at", Instant()))
        table.add_column(Column("changed_by", Text()))
    op.create_index("ix_trust_sources_issuer", "trust_sources", ["issuer"])
    op.create_table(
        "trust_source_keys",
        Column("source_id", String(36), nullable=False),
        Column("revision", Integer(), nullable=False),
        Column("jwks", JSON()),
        Column("fetched_at", Instant()),
        Column("refresh_seconds", Integer()),
        Column("failed_at", Instant()),
        Column("failure", Text()),
        ForeignKeyConstraint(
            ["source_id"], ["trust_sources.id"], name="fk_trust_source_keys_source_id", ondelete="CASCADE"
        ),
        PrimaryKeyConstraint("source_id", name="pk_trust_source_keys"),
    )
