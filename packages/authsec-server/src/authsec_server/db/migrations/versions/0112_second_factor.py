"""The second factor of an administrator: the encrypted secret, hashes of recovery codes, the last code, wrong codes."""

from __future__ import annotations

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Text

revision = "0112"
down_revision = "0111"
branch_labels = None
depends_on = None
oldest_release = "0.1.0"


def upgrade() -> None:
    op.add_column("administrators", Column("second_factor_id", String(36)))
    op.add_column("administrators", Column("second_factor_since", Instant))
    op.add_column("administrators", Column("second_factor_sealed", LargeBinary))
    op.add_column("administrators", Column("second_factor_step", BigInteger))
    op.add_column("administrators", Column("recovery_codes", Text))
    op.add_column("administrators", Column("wrong_codes", Integer))
    op.add_column("administrators", Column("wrong_codes_since", Instant))
