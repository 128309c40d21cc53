"""Digests of the tables that decide how events are read. The first change of authority computes them."""

from alembic import op
from sqlalchemy import Column, LargeBinary, String

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "table_digests", Column("name", String(40), primary_key=True), Column("product", LargeBinary, nullable=False)
    )
