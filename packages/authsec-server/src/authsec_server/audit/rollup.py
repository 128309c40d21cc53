"""The roll-up: counts each event once and stores the counts. The roll-up slows down no token request.

Events are counted in the order of their numbers, not of their dates, because a server's clock may be wrong.
An event is counted if its number is at most `counted.through` or its date is before `counted.until`.

Any number of servers may run the roll-up. Each server counts a batch of events before it writes.
The first server that raises `counted.through` adds its counts in the same transaction.
The other servers find `counted.through` already raised and add nothing.
A counted refusal no longer changes: `refusal_counts.count` adds further refusals to a new row.
Wrong clocks cause no wrong counts. They only affect how soon an event is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from time import sleep
from typing import Any, Final
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import ColumnElement, Connection, Row, Table, and_, case, collate, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from authsec_server.audit.counting import MOST_ENTRIES, Counts, Outcome, minute_of
from authsec_server.audit.event_numbers import transactions_with_numbers
from authsec_server.audit.event_shape import MAX_NUMBER, is_event
from authsec_server.audit.model import EventKind
from authsec_server.audit.store import client_counts, counted, daily_uses, events, hourly_counts, last_uses
from authsec_server.audit.unreadable_rows import events_one_by_one
from authsec_server.db import Database, Tx
from authsec_server.db.matching import in_batches

log = structlog.get_logger(__name__)

# Longer than a refusal's row can grow: one minute and one transaction. After an early count, a new row follows.
SETTLING = timedelta(minutes=2)
BATCH = 500  # events; on SQLite, token requests wait while a batch is written
MAX_BATCHES = 200  # in one call; after an outage, the rest follows a minute later
_BLOCKED_LONG = timedelta(minutes=5)
_ROWS = 5000  # that one statement writes
_MOST_NAMED = 10  # transactions in the server's log
_LOOKS = 10
_LOOK_SECONDS = 0.01  # between two looks at the transactions that run
# Since when the roll-up of each database waits for transactions, and whether the log says so.
_blocked: Final[WeakKeyDictionary[Database, tuple[datetime, bool]]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of the roll-up: events numbered up to `through`, or dated before `until`, are counted.

    `top` was the highest event number at the time `top_at`, by the clock of one of the servers.
    """

    until: datetime
    through: int
    top: int
    top_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The counts of all events numbered above `start` and up to `end`, except those dated before `until`.

    `growing` contains the number and the occurrences of each refusal in the batch.
    Further occurrences may be added to these refusals until `keep` locks them.
    """

    start: int
    end: int
    until: datetime
    counts: Counts
    growing: frozenset[tuple[int, int]]


def roll_up(database: Database, now: datetime, *, batches: int = MAX_BATCHES) -> bool:
    """Count the events that can no longer change. Return whether all of these events are counted.

    Blocks its thread.
    """
    if not database.read(partial(_has_more, now=now)):
        _blocked.pop(database, None)  # another server may have counted
        return True
    highest = highest_number(database)
    _warn_if_blocked(database, now, is_blocked=highest is None)
    if highest is None:
        return False
    settled = database.read(lambda tx: settled_number(tx.connection, highest, now))
    is_done = False
    for _ in range(batches):
        batch = database.read(lambda tx: next_batch(tx.connection, settled))
        if is_done := batch is None:
            break
        database.append(partial(keep, batch=batch))
    database.append(partial(_keep_top, highest=highest, now=now))
    return is_done


def _warn_if_blocked(database: Database, now: datetime, *, is_blocked: bool) -> None:
    """Log one warning if a transaction with event numbers has blocked the counting for minutes."""
    if not is_blocked:
        _blocked.pop(database, None)
        return
    since, is_logged = _blocked.get(database, (now, False))
    if not is_logged and now - since >= _BLOCKED_LONG:
        is_logged = True
        transactions = sorted(database.read(lambda tx: transactions_with_numbers(tx.connection)))
        log.warning(
            "no event is counted, because a transaction that took an event number is still open. Find the transaction "
            "by its virtualtransaction in pg_locks or in pg_prepared_xacts, and end it",
            since=since.isoformat(),
            transactions=transactions[:_MOST_NAMED],
        )
    _blocked[database] = since, is_logged


def highest_number(database: Database) -> int | None:
    """Return the highest event number. No event with a lower number can be committed afterwards.

    On PostgreSQL, a transaction takes an event number before it commits. So this function waits until each transaction
    that has taken a number has ended, for 100 ms at most. Return None if one of them takes longer.
    """
    return database.read(_highest_settled)


def _highest_settled(tx: Tx) -> int | None:
    highest = _highest(tx)
    running = transactions_with_numbers(tx.connection)  # after the number was read
    for _ in range(_LOOKS):
        if not running:
            return highest
        sleep(_LOOK_SECONDS)
        running &= transactions_with_numbers(tx.connection)  # locks have no snapshot
    return None if running else highest


def settled_number(connection: Connection, highest: int, now: datetime) -> int:
    """Return the number up to which events can no longer change, and so can be counted.

    `highest` is the highest event number.
    Usually, the events before the first event younger than `SETTLING` are settled.
    An event from a clock that is ahead would block this rule for a long time.
    So events up to `top` are also settled once `SETTLING` has passed since `top_at`.
    """
    progress = progress_of(connection)
    young = events.c.id <= highest, events.c.at >= minute_of(now - SETTLING)
    first = select(events.c.id).where(*young, is_not_counted(progress)).order_by(events.c.id).limit(1)
    found = connection.execute(first).scalar_one_or_none()
    by_date = highest if found is None else found - 1
    if progress.top_at is None or progress.top_at > now - SETTLING:
        return by_date
    return max(by_date, min(progress.top, highest))


def next_batch(connection: Connection, settled: int) -> Batch | None:
    """Return the counts of the next uncounted events, up to the number `settled`; None if all are counted.

    A batch ends early at `MOST_ENTRIES` counts. The attack: raw SQL inserts events with very many actions and roles.
    """
    progress = progress_of(connection)
    if progress.through >= settled:
        return None
    wanted = is_not_counted(progress), events.c.id <= settled, events.c.decision.is_not(None)
    statement = select(events.c.id).where(*wanted).order_by(events.c.id).limit(BATCH)
    numbers = connection.execute(statement).scalars().all()
    end = numbers[-1] if len(numbers) == BATCH else settled
    counts, growing = Counts(), set()
    last = 0
    for row in _decided(connection, numbers):
        if counts.size >= MOST_ENTRIES and row.id != last:  # several rows can have one number
            end = last
            break
        last = row.id
        if row.at >= progress.until:
            counts.add(outcome_of(row))
        if row.count_key is not None:
            growing.add((row.id, row.occurrences))
    return Batch(
        start=progress.through,
        end=end,
        until=progress.until,
        counts=counts,
        growing=frozenset(growing),
    )


def _decided(connection: Connection, numbers: Sequence[int]) -> Iterator[Row[Any]]:
    for row in events_one_by_one(connection, numbers):
        if not isinstance(row, int) and is_event(row._asdict()):
            yield row


def keep(tx: Tx, batch: Batch) -> bool:
    """Add the batch to the stored counts. Return whether the batch was added.

    The batch is not added if another server counted these events first.
    It is not added either if a refusal of the batch got further occurrences in the meantime.
    """
    connection = tx.connection
    if not _lock_growing(connection, batch.growing):
        return False
    mine = update(counted).where(counted.c.through == batch.start, counted.c.until == batch.until)
    if connection.execute(mine.values(through=batch.end)).rowcount != 1:
        return False
    counts = batch.counts
    _add(connection, hourly_counts, ("hour", "kind", "reason"), "occurrences", counts.hours)
    _add(connection, client_counts, ("client_id", "hour", "kind", "reason"), "occurrences", counts.client_hours)
    _add(connection, daily_uses, ("subject_id", "day", "action"), "tokens", counts.uses)
    _remember(connection, counts)
    return True


def _lock_growing(connection: Connection, growing: frozenset[tuple[int, int]]) -> bool:
    """Lock these refusals until the commit. Return whether each still has the same number of occurrences."""
    if not growing:
        return True
    statement = select(events.c.id, events.c.occurrences).where(events.c.id.in_([number for number, _ in growing]))
    # Skip locked rows: waiting for them could deadlock with a transaction that updates the same rows.
    rows = connection.execute(statement.with_for_update(skip_locked=True))
    return growing <= {(row.id, row.occurrences) for row in rows}


def _has_more(tx: Tx, now: datetime) -> bool:
    """Whether there may be events to count. Nothing is counted while the stored `until` is in the future."""
    progress = progress_of(tx.connection)
    return progress.until <= now and progress.through < _highest(tx)


def _highest(tx: Tx) -> int:
    highest = select(func.max(events.c.id)).where(events.c.id <= MAX_NUMBER)  # a higher one is of no server
    return tx.connection.execute(highest).scalar_one() or 0


def _keep_top(tx: Tx, highest: int, now: datetime) -> None:
    """Store `highest` as the new `top` if the stored `top` is outdated.

    The stored `top` is outdated if all events up to it are counted.
    It is also outdated if `top_at` is after `now`: the clock that wrote it was ahead.
    """
    its = counted.c
    is_over = or_(its.top <= its.through, its.top > highest, its.top_at.is_(None), its.top_at > now)
    tx.connection.execute(update(counted).where(its.through < highest, is_over).values(top=highest, top_at=now))


def progress_of(connection: Connection) -> Progress:
    """Read the progress of the roll-up."""
    its = counted.c
    row = connection.execute(select(its.until, its.through, its.top, its.top_at)).one()
    return Progress(until=row.until, through=row.through, top=row.top, top_at=row.top_at)


def is_not_counted(progress: Progress) -> ColumnElement[bool]:
    """Return the SQL condition for events that are not in the counts."""
    return and_(events.c.id > progress.through, events.c.at >= progress.until)


def close_months(connection: Connection, before: datetime) -> None:
    """Exclude events dated before that time from counting, even if they are recorded later."""
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
    for some in in_batches(sorted(counts.items()), _ROWS):
        connection.execute(statement, [dict(zip(keys, key, strict=True)) | {number: count} for key, count in some])


def _remember(connection: Connection, counts: Counts) -> None:
    """Merge the last uses of this batch into the stored last uses. The later time is kept."""
    if not counts.last:
        return
    statement = _insert(connection, last_uses)
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
    later = later_uses(statement.excluded, connection.dialect.name)
    connection.execute(statement.on_conflict_do_update(index_elements=["subject_id", "month"], set_=later), rows)


def later_uses(other: Any, dialect: str) -> dict[str, ColumnElement[Any]]:
    """Return SQL expressions for the columns of `last_uses`: the later of the stored and the `other` last use.

    The rule is the same as in `LastUse.and_later`.
    """
    its = last_uses.c
    reasons = [other.refused_reason, its.refused_reason]
    if dialect == "postgresql":  # else its collation decides, which may skip over a `_`
        reasons = [collate(each, "C") for each in reasons]
    is_later_grant = or_(its.granted_at.is_(None), other.granted_at > its.granted_at)
    is_later_refusal = or_(
        its.refused_at.is_(None),
        other.refused_at > its.refused_at,
        and_(other.refused_at == its.refused_at, reasons[0] > reasons[1]),
    )
    return {
        "granted_at": case((is_later_grant, other.granted_at), else_=its.granted_at),
        "refused_at": case((is_later_refusal, other.refused_at), else_=its.refused_at),
        "refused_reason": case((is_later_refusal, other.refused_reason), else_=its.refused_reason),
    }


def _insert(connection: Connection, table: Table) -> Any:
    return (postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert)(table)


def outcome_of(row: Row[Any]) -> Outcome:
    """Return the outcome in a row of the table `events`. The event must have a decision."""
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
