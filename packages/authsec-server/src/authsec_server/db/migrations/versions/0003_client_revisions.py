"""What editing and listing clients needs."""

import json

from alembic import op
from authsec_server.db.schema import Instant
from authsec_server.naming import folded
from sqlalchemy import Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, String, Text, text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NEVER = "9999-12-31 23:59:59.999999"
FILTERED = ["slug", "kind", "platform", "enabled", "provable_until", "unattested_until"]


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    by_code_point = Text(collation="C") if postgresql else Text()
    for column in (
        Column("revision", Integer(), nullable=False, server_default="1"),
        Column("changed_at", Instant()),
        Column("changed_by", Text()),
        Column("sort_name", by_code_point, nullable=False, server_default=""),
        Column("sort_owner", by_code_point, nullable=False, server_default=""),
        Column("provable_until", Instant()),
        Column("unattested_until", Instant()),
    ):
        op.add_column("clients", column)
    op.create_table(
        "client_labels",
        Column("client_id", String(36), nullable=False),
        Column("name", String(63), nullable=False),
        Column("value", Text(), nullable=False),
        ForeignKeyConstraint(["client_id"], ["clients.id"], name="fk_client_labels_client_id", ondelete="CASCADE"),
        PrimaryKeyConstraint("client_id", "name", name="pk_client_labels"),
    )
    _derive(NEVER + "+00:00" if postgresql else NEVER)
    op.create_index("ix_client_labels_name_value", "client_labels", ["name", "value", "client_id"])
    op.create_index("ix_clients_by_name", "clients", ["sort_name", "id", "sort_owner", *FILTERED])
    op.create_index("ix_clients_by_owner", "clients", ["sort_owner", "sort_name", "id", *FILTERED, "owner"])
    op.create_index("ix_clients_by_creation", "clients", ["created_at", "id", "sort_name", "sort_owner", *FILTERED])
    op.create_index("uq_proofs_thumbprint", "proofs", ["thumbprint"], unique=True)


def _derive(never: str) -> None:
    """Fill the columns that are made of others, for the clients that are there."""
    connection = op.get_bind()
    names, labels = [], []
    for row in connection.execute(text("SELECT id, name, owner, labels FROM clients")):
        names.append({"id": row.id, "sort_name": folded(row.name), "sort_owner": folded(row.owner)})
        held = json.loads(row.labels) if isinstance(row.labels, str) else row.labels
        labels += [{"client_id": row.id, "name": name, "value": value} for name, value in held.items()]
    if names:
        connection.execute(
            text("UPDATE clients SET sort_name = :sort_name, sort_owner = :sort_owner WHERE id = :id"), names
        )
    if labels:
        connection.execute(text("INSERT INTO client_labels VALUES (:client_id, :name, :value)"), labels)
    for column, kind in (("provable_until", "key_pair"), ("unattested_until", "unattested")):
        connection.execute(
            text(
                f"UPDATE clients SET {column} = (SELECT max(coalesce(expires_at, '{never}')) FROM proofs"  # noqa: S608
                f" WHERE client_id = clients.id AND kind = '{kind}')"
            )
        )
