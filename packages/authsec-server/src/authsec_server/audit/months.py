"""The partitions of the journal on PostgreSQL: one a month (of `at`), so that old months can be let go whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text


def prepare_months(connection: Connection, now: datetime, *, ahead: int = 2) -> None:
    """Make this month's partition and those `ahead` (PostgreSQL; elsewhere there is nothing to do)."""
    if connection.dialect.name != "postgresql":
        return
    start = datetime(now.year, now.month, 1, tzinfo=UTC)
    for _ in range(ahead + 1):
        end = (start + timedelta(days=32)).replace(day=1)
        if not _is_there(connection, f"events_{start:%Y_%m}"):
            _make_month(connection, f"events_{start:%Y_%m}", start, end)
        start = end


def _make_month(connection: Connection, name: str, start: datetime, end: datetime) -> None:
    """One partition. What the default partition holds of that month, from days without one, moves along."""
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
