"""The file of outside heads, for commands: they compare the database with it as the server does."""

from alembic import op
from sqlalchemy import Column, Text

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("authority", Column("heads_file", Text()))
