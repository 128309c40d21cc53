"""Monthly partitions of the audit log on PostgreSQL (by `at`). A whole old month can be dropped at once."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, insert, select, text

from authsec_server.audit.store import events

_MONTH = re.compile(r"events_([0-9]{4})_([0-9]{2})")


def prepare_months(connection: Connection, now: datetime, *, ahead: int = 2) -> None:
    """Create the partitions of this month and of the next `ahead` months. Does nothing on SQLite."""
    if connection.dialect.name != "postgresql":
        return
    start = datetime(now.year, now.month, 1, tzinfo=UTC)
    for _ in range(ahead + 1):
        end = (start + timedelta(days=32)).replace(day=1)
        if not _is_there(connection, f"events_{start:%Y_%m}"):
            _make_month(connection, f"events_{start:%Y_%m}", start, end)
        start = end


def drop_partition(connection: Connection, before: str, staying: ColumnElement[bool]) -> bool:
    """Drop the oldest partition of a month before `before` (2026-08). Return whether there was such a partition.

    Rows that match `staying` are kept.
    Deleting row by row would leave a million dead rows.
    Each transaction drops only one partition, because writers wait during the transaction.
    Does nothing on SQLite, and does not drop rows of the default partition.
    """
    if connection.dialect.name != "postgresql":
        return False
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    named = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass ORDER BY 1")
    for name in connection.execute(named).scalars().all():
        month = _MONTH.fullmatch(name)
        if month and f"{month[1]}-{month[2]}" < before:
            _drop_month(connection, name, f"{month[1]}-{month[2]}", staying)
            return True
    return False


def _drop_month(connection: Connection, name: str, month: str, staying: ColumnElement[bool]) -> None:
    """Drop one partition. Move the rows that match `staying` to the default partition.

    These rows are read before the table is locked.
    They are read again under the lock only if the number of rows in the partition has changed.
    """
    start = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
    within = events.c.at >= start, events.c.at < (start + timedelta(days=32)).replace(day=1)
    number, wanted = text(f"SELECT count(*) FROM {name}"), select(events).where(*within, staying)  # noqa: S608 - made here
    there = connection.execute(number).scalar_one()
    kept = connection.execute(wanted).all()
    connection.execute(text("LOCK TABLE events IN ACCESS EXCLUSIVE MODE"))
    if connection.execute(number).scalar_one() != there:
        kept = connection.execute(wanted).all()
    connection.execute(text(f"DROP TABLE {name}"))
    if kept:
        connection.execute(insert(events), [row._asdict() for row in kept])


def _make_month(connection: Connection, name: str, start: datetime, end: datetime) -> None:
    """Create the partition of one month. Move the rows of that month from the default partition to the new one.

    The default partition takes rows of months that have no partition.
    """
    connection.execute(text("LOCK TABLE events IN ACCESS EXCLUSIVE MODE"))
    if _is_there(connection, name):  # another server was first
        return
    connection.execute(text(f"CREATE TABLE {name} (LIKE events INCLUDING DEFAULTS)"))
    taken = "DELETE FROM events_default WHERE at >= :start AND at < :end RETURNING *"
    connection.execute(
        text(f"WITH moved AS ({taken}) INSERT INTO {name} SELECT * FROM moved"),  # noqa: S608 - a name made here
        {"start": start, "end": end},
    )
    # The bounds are no values for the server to bind, but part of the definition; both are ours.
    bounds = f"FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
    connection.execute(text(f"ALTER TABLE events ATTACH PARTITION {name} FOR VALUES {bounds}"))


def _is_there(connection: Connection, name: str) -> bool:
    return connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar_one() is not None
