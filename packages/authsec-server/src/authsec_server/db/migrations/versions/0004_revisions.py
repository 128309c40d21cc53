"""What editing and listing roles, APIs and delegations needs."""

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import (
    JSON,
    Column,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    String,
    Text,
    column,
    select,
    table,
)

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("roles", "apis", "delegations"):
        op.add_column(name, Column("revision", Integer(), nullable=False, server_default="1"))
        op.add_column(name, Column("changed_at", Instant()))
        op.add_column(name, Column("changed_by", Text()))
    parties, state = ["role_id", "client_id", "target_type"], ["enabled", "revoked_at", "ends_at"]
    op.create_index("ix_delegations_created_at", "delegations", ["created_at", "id", *parties, *state])
    op.drop_index("ix_delegations_role_id", "delegations")
    op.create_index("ix_delegations_role_id_created_at", "delegations", ["role_id", "created_at", "id", *state])
    op.create_index("ix_delegations_ends_at", "delegations", ["ends_at", "id"])
    _audiences()


def _audiences() -> None:
    audiences = op.create_table(
        "delegation_audiences",
        Column("delegation_id", String(36), nullable=False),
        Column("audience", Text(), nullable=False),
        Column("created_at", Instant(), nullable=False),
        ForeignKeyConstraint(
            ["delegation_id"], ["delegations.id"], name="fk_delegation_audiences_delegation_id", ondelete="CASCADE"
        ),
        PrimaryKeyConstraint("delegation_id", "audience", name="pk_delegation_audiences"),
    )
    delegations = table("delegations", column("id"), column("audiences", JSON()), column("created_at", Instant()))
    rows = [
        {"delegation_id": row.id, "audience": audience, "created_at": row.created_at}
        for row in op.get_bind().execute(select(delegations))
        for audience in row.audiences or [""]
    ]
    op.bulk_insert(audiences, rows)
    op.create_index(
        "ix_delegation_audiences_audience", "delegation_audiences", ["audience", "created_at", "delegation_id"]
    )
