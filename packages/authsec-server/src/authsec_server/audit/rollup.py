"""The roll-up: what the journal holds, counted once and kept, off the path of the tokens.

Any number of servers may be at it. Each reads what has settled and counts it before it writes; whoever then moves the
mark `counted.until` first adds its numbers in the same transaction, the others find it moved and add nothing.

Settled is what is dated in minutes that ended `SETTLING` ago: an event is dated before it is committed, and a counted
refusal grows during its minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Row, Table, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from authsec_server.audit.counting import Counts, Outcome, counts_of, minute_of
from authsec_server.audit.model import EventKind
from authsec_server.audit.reading import events_one_by_one
from authsec_server.audit.shape import is_event
from authsec_server.audit.store import client_counts, counted, daily_uses, events, hourly_counts, last_uses
from authsec_server.db import Database, Tx

# Longer than a statement (15 s) and an idle transaction (30 s) may last, and than servers' clocks may differ.
SETTLING = timedelta(minutes=2)
BATCH = 500  # events; on SQLite tokens wait while one is written
MAX_BATCHES = 200  # at once; after an outage the rest follows a minute later


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The counts of all events from `start` and before `end`."""

    start: datetime
    end: datetime
    counts: Counts


def roll_up(database: Database, now: datetime, *, batches: int = MAX_BATCHES) -> bool:
    """Count what has settled by `now`; whether all of it is counted. Blocks its thread."""
    settled = minute_of(now - SETTLING)
    for _ in range(batches):
        batch = database.read(lambda tx: next_batch(tx.connection, settled))
        if batch is None:
            return True
        database.append(partial(keep, batch=batch))
    return False


def next_batch(connection: Connection, settled: datetime) -> Batch | None:
    """The next events to count, before `settled`; None when there are none."""
    start = counted_until(connection)
    waiting = events.c.at >= start, events.c.at < settled
    in_order = select(events.c.at).where(*waiting).order_by(events.c.at)
    if connection.execute(in_order.limit(1)).first() is None:
        return None
    last = connection.execute(in_order.offset(BATCH - 1).limit(1)).scalar_one_or_none()
    end = settled if last is None else last + timedelta.resolution  # with all others of that instant
    statement = select(events.c.id).where(events.c.at >= start, events.c.at < end, events.c.decision.is_not(None))
    numbers = connection.execute(statement.order_by(events.c.id)).scalars().all()
    return Batch(start=start, end=end, counts=counts_of(_outcomes(connection, numbers)))


def _outcomes(connection: Connection, numbers: Sequence[int]) -> Iterator[Outcome]:
    for row in events_one_by_one(connection, numbers):
        if not isinstance(row, int) and is_event(row._asdict()):
            yield outcome_of(row)


def keep(tx: Tx, batch: Batch) -> bool:
    """Add the batch to what is kept, unless another server has counted these events; whether it was added."""
    connection = tx.connection
    mine = update(counted).where(counted.c.until == batch.start).values(until=batch.end)
    if connection.execute(mine).rowcount != 1:
        return False
    counts = batch.counts
    _add(connection, hourly_counts, ("hour", "kind", "reason"), "occurrences", counts.hours)
    _add(connection, client_counts, ("client_id", "hour", "kind", "reason"), "occurrences", counts.client_hours)
    _add(connection, daily_uses, ("subject_id", "day", "action"), "tokens", counts.uses)
    _remember(connection, counts)
    return True


def counted_until(connection: Connection) -> datetime:
    """Events dated earlier are in the counts; those from then on are not."""
    until: datetime = connection.execute(select(counted.c.until)).scalar_one()
    return until


def close_months(connection: Connection, before: datetime) -> None:
    """Count nothing any more that is dated before that time, whatever comes late."""
    connection.execute(update(counted).where(counted.c.until < before).values(until=before))


def _add(
    connection: Connection, table: Table, keys: tuple[str, ...], number: str, counts: Mapping[tuple[Any, ...], int]
) -> None:
    if not counts:
        return
    statement = _insert(connection, table)
    statement = statement.on_conflict_do_update(
        index_elements=keys, set_={number: table.c[number] + statement.excluded[number]}
    )
    connection.execute(
        statement, [dict(zip(keys, key, strict=True)) | {number: count} for key, count in sorted(counts.items())]
    )


def _remember(connection: Connection, counts: Counts) -> None:
    """The last uses: whatever this batch knows is later than what was kept."""
    if not counts.last:
        return
    statement = _insert(connection, last_uses)
    columns = ("granted_at", "refused_at", "refused_reason")
    later = {name: func.coalesce(statement.excluded[name], last_uses.c[name]) for name in columns}
    rows = [
        {
            "subject_id": subject,
            "month": month,
            "granted_at": use.granted_at,
            "refused_at": use.refused_at,
            "refused_reason": use.refused_reason if use.refused_at else None,
        }
        for (subject, month), use in sorted(counts.last.items(), key=itemgetter(0))
    ]
    connection.execute(statement.on_conflict_do_update(index_elements=["subject_id", "month"], set_=later), rows)


def _insert(connection: Connection, table: Table) -> Any:
    return (postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert)(table)


def outcome_of(row: Row[Any]) -> Outcome:
    """The decided event in a row of the table `events`."""
    return Outcome(
        at=row.at,
        kind=EventKind(row.kind),
        reason=row.reason,
        client_id=row.client_id,
        under=tuple(each["id"] for each in [*row.delegations, *row.roles]),
        proof_id=row.detail.get("proof_id"),
        actions=tuple(row.detail.get("actions") or ()),
        occurrences=row.occurrences,
    )
