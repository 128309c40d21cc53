"""Counts of what the journal holds, and indexes by which the console finds its way in it.

Tokens are in as many indexes as before: that on `at` alone was covered by (at, count_key), and a client's events are
looked for by number and by expiry, no longer by time.
"""

from datetime import UTC, datetime

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    PrimaryKeyConstraint,
    String,
    text,
)

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

DENIED = "decision = 'denied'"
ACT = "kind NOT IN ('token.issued', 'token.refused')"


def upgrade() -> None:
    op.drop_index("ix_events_at", "events")
    op.drop_index("ix_events_client_id_at", "events")
    op.create_index("ix_events_client_id_id", "events", ["client_id", "id"])
    _partial("ix_events_client_id_expires_at", ["client_id", "expires_at"], "expires_at IS NOT NULL")
    _partial("ix_events_denied_id", ["id"], DENIED)
    _partial("ix_events_denied_reason_id", ["reason", "id"], DENIED)
    _partial("ix_events_denied_client_id_id", ["client_id", "id"], DENIED)
    _partial("ix_events_act_id", ["id"], ACT)
    _partial("ix_events_act_kind_id", ["kind", "id"], ACT)
    _partial("ix_events_principal_id", ["principal_kind", "principal_id", "id"], "principal_kind IS NOT NULL")
    _partial("ix_events_subject_id_id", ["subject_id", "id"], "subject_id IS NOT NULL")
    _create_counts()


def _partial(name: str, columns: list[str], condition: str) -> None:
    op.create_index(name, "events", columns, sqlite_where=text(condition), postgresql_where=text(condition))


def _create_counts() -> None:
    op.create_table(
        "hourly_counts",
        Column("hour", Instant(), nullable=False),
        Column("kind", String(40), nullable=False),
        Column("reason", String(40), nullable=False),
        Column("occurrences", BigInteger(), nullable=False),
        PrimaryKeyConstraint("hour", "kind", "reason", name="pk_hourly_counts"),
    )
    op.create_table(
        "client_counts",
        Column("client_id", String(36), nullable=False),
        Column("hour", Instant(), nullable=False),
        Column("kind", String(40), nullable=False),
        Column("reason", String(40), nullable=False),
        Column("occurrences", BigInteger(), nullable=False),
        PrimaryKeyConstraint("client_id", "hour", "kind", "reason", name="pk_client_counts"),
    )
    op.create_index(
        "ix_client_counts_refused_hour",
        "client_counts",
        ["hour"],
        sqlite_where=text("kind = 'token.refused'"),
        postgresql_where=text("kind = 'token.refused'"),
    )
    op.create_table(
        "daily_uses",
        Column("subject_id", String(36), nullable=False),
        Column("day", Instant(), nullable=False),
        Column("action", String(127), nullable=False),
        Column("tokens", BigInteger(), nullable=False),
        PrimaryKeyConstraint("subject_id", "day", "action", name="pk_daily_uses"),
    )
    op.create_table(
        "last_uses",
        Column("subject_id", String(36), nullable=False),
        Column("granted_at", Instant()),
        Column("refused_at", Instant()),
        Column("refused_reason", String(40)),
        PrimaryKeyConstraint("subject_id", name="pk_last_uses"),
    )
    counted = op.create_table(
        "counted",
        Column(
            "id", Integer(), CheckConstraint("id = 1", name="ck_counted_one_row"), autoincrement=False, nullable=False
        ),
        Column("until", Instant(), nullable=False),
        PrimaryKeyConstraint("id", name="pk_counted"),
    )
    op.bulk_insert(counted, [{"id": 1, "until": datetime(2000, 1, 1, tzinfo=UTC)}])
