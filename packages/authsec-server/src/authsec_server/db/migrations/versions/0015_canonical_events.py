"""Events in one spelling: JSON as canonical text. Tables of the delegations they name and of an hour's numbers."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import JSON, BigInteger, Column, PrimaryKeyConstraint, String, Text, column, table, text

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

COLUMNS = ("delegations", "roles", "detail")
# Of two indexes that seem alike to it, SQLite takes the one that was made later: so the special ones come last.
INDEXES = (
    *("ix_events_jti", "ix_events_request_id", "uq_events_at_count_key", "ix_events_client_id_id"),
    *("ix_events_client_id_expires_at", "ix_events_denied_id", "ix_events_denied_reason_id"),
    *("ix_events_denied_client_id_id", "ix_events_act_id", "ix_events_act_kind_id"),
    *("ix_events_principal_id", "ix_events_subject_id_id"),
)
BATCH = 1000


def upgrade() -> None:
    op.create_table(
        "event_delegations",
        Column("delegation_id", String(36), nullable=False),
        Column("event_id", BigInteger(), autoincrement=False, nullable=False),
        PrimaryKeyConstraint("delegation_id", "event_id", name="pk_event_delegations"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "number_ranges",
        Column("hour", Instant(), nullable=False),
        Column("lowest", BigInteger(), nullable=False),
        Column("highest", BigInteger(), nullable=False),
        PrimaryKeyConstraint("hour", name="pk_number_ranges"),
    )
    if op.get_bind().dialect.name == "postgresql":
        for name in COLUMNS:
            op.execute(f"ALTER TABLE events ALTER COLUMN {name} TYPE text USING {name}::text")
    else:
        with op.batch_alter_table("events", table_kwargs={"sqlite_autoincrement": True}) as table:
            for name in COLUMNS:
                table.alter_column(name, existing_type=JSON(), type_=Text(), existing_nullable=False)
        _make_indexes_in_order()
    with op.batch_alter_table("seal_heads") as table_:
        table_.drop_constraint("pk_seal_heads", type_="primary")
        table_.create_primary_key("pk_seal_heads", ["size", "at"])
    spell = text("UPDATE events SET delegations = :delegations, roles = :roles, detail = :detail WHERE id = :id")
    link = text("INSERT INTO event_delegations (delegation_id, event_id) VALUES (:delegation_id, :event_id)")
    for rows in _batches():
        op.get_bind().execute(spell, [{"id": row.id} | {name: _spelt(row, name) for name in COLUMNS} for row in rows])
        links = [
            {"delegation_id": id_, "event_id": row.id}
            for row in rows
            for id_ in sorted({each["id"] for each in json.loads(row.delegations)})
        ]
        if links:
            op.get_bind().execute(link, links)
    _keep_ranges()


def _make_indexes_in_order() -> None:
    for name in INDEXES:
        made = op.get_bind().execute(text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": name})
        definition = made.scalar_one()
        op.execute(f"DROP INDEX {name}")
        op.execute(text(definition))


def _keep_ranges() -> None:
    """One range for all hours so far, of all numbers: too wide a range only costs time."""
    bind = op.get_bind()
    lowest, highest = bind.execute(text("SELECT min(id), max(id) FROM events")).one()
    if lowest is None:
        return
    times = text("SELECT min(at) AS first, max(at) AS last FROM events")
    first, last = bind.execute(times.columns(column("first", Instant()), column("last", Instant()))).one()
    hour = first.replace(minute=0, second=0, microsecond=0)
    ranges = table("number_ranges", column("hour", Instant()), column("lowest"), column("highest"))
    while hour <= last:
        bind.execute(ranges.insert().values(hour=hour, lowest=lowest, highest=highest))
        hour += timedelta(hours=1)


def _batches() -> Iterator[list[Any]]:
    after = 0
    statement = text("SELECT id, delegations, roles, detail FROM events WHERE id > :after ORDER BY id LIMIT :limit")
    while rows := list(op.get_bind().execute(statement, {"after": after, "limit": BATCH}).all()):
        yield rows
        after = rows[-1].id


def _spelt(row: Any, name: str) -> str:
    return json.dumps(json.loads(getattr(row, name)), sort_keys=True, separators=(",", ":"))
