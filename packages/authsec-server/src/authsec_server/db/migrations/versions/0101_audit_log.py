"""The first schema: the audit log and its counts."""

from datetime import UTC, datetime
from typing import Any

from alembic import op
from authsec_server.db.schema import BigId, Instant
from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, LargeBinary, String, Text, text

revision = "0101"
down_revision = "0100"
branch_labels = None
depends_on = None
oldest_release = "0.1.0"


def upgrade() -> None:
    _audit_log()
    _counts()


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _audit_log() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "events",
        Column("id", BigId, autoincrement=True, primary_key=True),
        Column("at", Instant, primary_key=postgresql, nullable=False),
        Column("kind", String(40), nullable=False),
        Column("request_id", String(40), nullable=False),
        Column("principal_kind", String(20)),
        Column("principal_id", String(36)),
        Column("principal_name", Text),
        Column("principal_role", String(10)),
        Column("client_id", String(36)),
        Column("client_name", Text),
        Column("delegations", Text, nullable=False),
        Column("roles", Text, nullable=False),
        Column("subject_id", String(80)),
        Column("subject_name", Text),
        Column("decision", String(10)),
        Column("reason", String(40), nullable=False),
        Column("address", String(45), nullable=False),
        Column("authority_version", BigId),
        Column("jti", String(40), nullable=False),
        Column("kid", String(64), nullable=False),
        Column("token_sha256", String(64), nullable=False),
        Column("expires_at", Instant),
        Column("detail", Text, nullable=False),
        Column("occurrences", Integer, nullable=False),
        Column("count_key", String(128)),
        postgresql_partition_by="RANGE (at)",
        sqlite_autoincrement=True,
    )
    if postgresql:
        # For events of a month without a partition.
        op.execute("CREATE TABLE events_default PARTITION OF events DEFAULT")
    # If two indexes have the same cost, SQLite uses the newer index. So the special indexes come last.
    denied = _where("decision = 'denied'")
    act = _where("kind NOT IN ('token.issued', 'token.refused')")
    op.create_index("ix_events_jti", "events", ["jti"])
    op.create_index("ix_events_request_id", "events", ["request_id"])
    op.create_index("uq_events_at_count_key", "events", ["at", "count_key"], unique=True)
    op.create_index("ix_events_client_id_id", "events", ["client_id", "id"])
    op.create_index(
        "ix_events_client_id_expires_at", "events", ["client_id", "expires_at"], **_where("expires_at IS NOT NULL")
    )
    op.create_index("ix_events_denied_id", "events", ["id"], **denied)
    op.create_index("ix_events_denied_reason_id", "events", ["reason", "id"], **denied)
    op.create_index("ix_events_denied_client_id_id", "events", ["client_id", "id"], **denied)
    op.create_index("ix_events_act_id", "events", ["id"], **act)
    op.create_index("ix_events_act_kind_id", "events", ["kind", "id"], **act)
    op.create_index(
        "ix_events_principal_id",
        "events",
        ["principal_kind", "principal_id", "id"],
        **_where("principal_kind IS NOT NULL"),
    )
    op.create_index("ix_events_subject_id_id", "events", ["subject_id", "id"], **_where("subject_id IS NOT NULL"))
    op.create_table(
        "event_delegations",
        Column("delegation_id", String(36), primary_key=True),
        Column("event_id", BigInteger, autoincrement=False, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "number_ranges",
        Column("hour", Instant, primary_key=True),
        Column("lowest", BigInteger, nullable=False),
        Column("highest", BigInteger, nullable=False),
    )
    op.create_table(
        "sealed_events",
        Column("position", BigId, autoincrement=False, primary_key=True),
        Column("event_id", BigInteger, unique=True, nullable=False),
        Column("hash", LargeBinary, nullable=False),
    )
    op.create_table(
        "checkpoints",
        Column("size", BigId, autoincrement=False, primary_key=True),
        Column("at", Instant, primary_key=True),
        Column("signed", Text, nullable=False),
    )


def _counts() -> None:
    counted = op.create_table(
        "counted",
        Column("id", Integer, CheckConstraint("id = 1", name="one_row"), autoincrement=False, primary_key=True),
        Column("until", Instant, nullable=False),
        Column("rebuilds", BigInteger, nullable=False, server_default="0"),
        Column("through", BigInteger, nullable=False, server_default="0"),
        Column("top", BigInteger, nullable=False, server_default="0"),
        Column("top_at", Instant),
    )
    op.bulk_insert(counted, [{"id": 1, "until": datetime(2000, 1, 1, tzinfo=UTC)}])
    op.create_table(
        "hourly_counts",
        Column("hour", Instant, primary_key=True),
        Column("kind", String(40), primary_key=True),
        Column("reason", String(40), primary_key=True),
        Column("occurrences", BigInteger, nullable=False),
    )
    op.create_table(
        "client_counts",
        Column("client_id", String(36), primary_key=True),
        Column("hour", Instant, primary_key=True),
        Column("kind", String(40), primary_key=True),
        Column("reason", String(40), primary_key=True),
        Column("occurrences", BigInteger, nullable=False),
    )
    op.create_index("ix_client_counts_refused_hour", "client_counts", ["hour"], **_where("kind = 'token.refused'"))
    op.create_table(
        "daily_uses",
        Column("subject_id", String(36), primary_key=True),
        Column("day", Instant, primary_key=True),
        Column("action", String(127), primary_key=True),
        Column("tokens", BigInteger, nullable=False),
    )
    op.create_table(
        "last_uses",
        Column("subject_id", String(36), primary_key=True),
        Column("month", Instant, primary_key=True),
        Column("granted_at", Instant),
        Column("refused_at", Instant),
        Column("refused_reason", String(40)),
    )
