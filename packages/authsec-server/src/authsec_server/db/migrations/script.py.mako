"""${message}"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None
oldest_release = "0.1.0"


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
