"""Where the authority was last served, for commands, which listen nowhere."""

from alembic import op
from sqlalchemy import Column, Text

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("authority", Column("issuer", Text()))
