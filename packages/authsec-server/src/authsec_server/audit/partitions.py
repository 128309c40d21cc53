"""Monthly partitions of the audit log on PostgreSQL (by `at`). One statement drops a whole old month."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import ColumnElement, Connection, insert, select, text
from sqlalchemy.exc import OperationalError

from authsec_server.audit.store import events
from authsec_server.audit.unreadable_rows import stored_bytes
from authsec_server.db.locks import PARTITIONS_LOCK
from authsec_server.db.postgresql_errors import LOCKED, sqlstate

log = structlog.get_logger(__name__)

MOST_MOVED: Final = 100_000  # events of the default partition: no event is written meanwhile
_MOST_OCTETS: Final = 2**27  # of these events
MOST_READ: Final = 2**31  # octets of the default partition: PostgreSQL reads it as a whole for each new partition
# Token requests wait while a server waits for a table lock, so the wait is limited: `pg_dump` can lock the tables for
# hours. PostgreSQL cancels an autovacuum that blocks a lock after 1 s.
_FOR_A_MONTH: Final = {
    "lock_timeout": 1500,  # milliseconds
    "statement_timeout": 10_000,  # for each statement that measures or moves the events of the default partition
}
_FOR_A_DROP: Final = {"lock_timeout": 1500, "statement_timeout": 0}
_MONTH = re.compile(r"events_([0-9]{4})_([0-9]{2})")
_TOO_MANY: Final = (
    "a month of the audit log gets no partition, because events_default has too many events. Somebody inserted "
    "them. To find them: authsec audit verify"
)
_TOO_LARGE: Final = (
    "a month of the audit log gets no partition, because the file of events_default is too large. Perhaps somebody "
    "inserted events. To find them: authsec audit verify. If there are none, shrink the file: "
    "VACUUM FULL events_default"
)
_LOCKED: Final = "a month of the audit log gets no partition yet, because another transaction has locked the log"


def prepare_months(connection: Connection, now: datetime, *, ahead: int = 2) -> None:
    """Create the partitions of this month and of the next `ahead` months. Does nothing on SQLite.

    If another transaction has locked the audit log, no partition is created, and the next call tries again.
    Until then, the default partition stores the events of these months.

    A month gets no partition if the default partition already has very many events of the month.
    The attack: raw SQL inserts millions of events of a coming month. No token could be issued while they are moved.
    The size of the file has a bound as well: deleted rows keep it large, and PostgreSQL reads all of it.
    """
    if connection.dialect.name != "postgresql":
        return
    start = datetime(now.year, now.month, 1, tzinfo=UTC)
    for _ in range(ahead + 1):
        end = (start + timedelta(days=32)).replace(day=1)
        if not _is_there(connection, f"events_{start:%Y_%m}"):
            try:
                with connection.begin_nested(), _limits(connection, _FOR_A_MONTH):
                    _prepare_month(connection, f"events_{start:%Y_%m}", start, end)
            except OperationalError as error:
                if sqlstate(error) not in LOCKED:
                    raise
                log.warning(_LOCKED, month=f"{start:%Y-%m}")
                return
        start = end


def _prepare_month(connection: Connection, name: str, start: datetime, end: datetime) -> None:
    _wait_in_turn(connection)
    if _is_there(connection, name):  # another server was first
        return
    if connection.execute(text("SELECT pg_relation_size('events_default')")).scalar_one() > MOST_READ:
        log.error(_TOO_LARGE, month=f"{start:%Y-%m}")
    elif _can_be_moved(connection, start, end):
        _make_month(connection, name, start, end)
    else:
        log.error(_TOO_MANY, month=f"{start:%Y-%m}")


def drop_partition(connection: Connection, before: str, staying: ColumnElement[bool]) -> bool:
    """Drop the oldest partition of a month before `before` (2026-08). Return whether there was such a partition.

    Rows that match `staying` are kept.
    Deleting row by row would leave a million dead rows.
    Each transaction drops only one partition, because writers wait during the transaction.
    Does nothing on SQLite, and does not drop rows of the default partition.
    """
    if connection.dialect.name != "postgresql":
        return False
    _wait_in_turn(connection)
    _limit(connection, _FOR_A_DROP)
    named = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass ORDER BY 1")
    for name in connection.execute(named).scalars().all():
        month = _MONTH.fullmatch(name)
        if month and f"{month[1]}-{month[2]}" < before:
            _drop_month(connection, name, f"{month[1]}-{month[2]}", staying)
            return True
    return False


def _wait_in_turn(connection: Connection) -> None:
    """Wait until no other transaction creates or drops a partition. Call this before the first table lock.

    Without this wait, two transactions could deadlock: one that creates a partition locks the default partition first,
    and one that drops a partition locks the table `events` first.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": PARTITIONS_LOCK})


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
    connection.execute(text(f"CREATE TABLE {name} (LIKE events INCLUDING DEFAULTS)"))
    taken = "DELETE FROM events_default WHERE at >= :start AND at < :end RETURNING *"
    connection.execute(
        text(f"WITH moved AS ({taken}) INSERT INTO {name} SELECT * FROM moved"),  # noqa: S608 - a name made here
        {"start": start, "end": end},
    )
    # PostgreSQL accepts no parameters in a partition definition. Both bounds are generated here.
    bounds = f"FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
    connection.execute(text(f"ALTER TABLE events ATTACH PARTITION {name} FOR VALUES {bounds}"))


def _can_be_moved(connection: Connection, start: datetime, end: datetime) -> bool:
    """Whether the default partition has so few events of the month that they can be moved within seconds."""
    those = f"SELECT * FROM events_default WHERE at >= :start AND at < :end LIMIT {MOST_MOVED + 1}"  # noqa: S608 - names from here
    statement = text(f"SELECT count(*), coalesce(sum({stored_bytes('postgresql')}), 0) FROM ({those}) those")  # noqa: S608 - names from here
    number, octets = connection.execute(statement, {"start": start, "end": end}).one()
    return bool(number <= MOST_MOVED and octets <= _MOST_OCTETS)


@contextmanager
def _limits(connection: Connection, limits: Mapping[str, int]) -> Iterator[None]:
    """Apply these timeouts to the transaction within this context. After an error, the caller must roll back."""
    before = {name: connection.execute(text(f"SHOW {name}")).scalar_one() for name in limits}
    _limit(connection, limits)
    yield
    _limit(connection, before)


def _limit(connection: Connection, limits: Mapping[str, int | str]) -> None:
    for name, limit in limits.items():
        connection.execute(text("SELECT set_config(:name, :limit, true)"), {"name": name, "limit": str(limit)})


def _is_there(connection: Connection, name: str) -> bool:
    # Not by `to_regclass`: PostgreSQL may answer from a cache that does not know yet what another server has made.
    named = "SELECT FROM pg_class WHERE relname = :name AND relnamespace = its.relnamespace"
    statement = text(f"SELECT EXISTS ({named}) FROM pg_class its WHERE its.oid = 'events'::regclass")  # noqa: S608 - from here
    return bool(connection.execute(statement, {"name": name}).scalar_one())
