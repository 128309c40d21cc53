"""Events are counted by their numbers. What is counted already is known by its time: `until` stays as it is."""

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import BigInteger, Column, text

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("counted", Column("through", BigInteger(), nullable=False, server_default=text("0")))
    op.add_column("counted", Column("top", BigInteger(), nullable=False, server_default=text("0")))
    op.add_column("counted", Column("top_at", Instant()))
