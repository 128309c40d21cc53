"""The numbers of events: how a server takes the next ones, and which numbers the database has given so far.

The attack: raw SQL inserts an event with a very high number, or sets the sequence of numbers to another value.
Without these rules, new events get numbers that a checkpoint already covers, or that no checkpoint can cover.
Then they never get a seal.

On PostgreSQL, two numbers bound those that an event may get:

- The number must be above the newest sealed ones, and no event since `looked_through_since` may have it. The statement
  that takes it also looks for both. Any number that its snapshot shows was taken before, so an honest sequence never
  fails. Earlier months are not looked through: PostgreSQL would plan and lock the partition of each, for each token.
- The number must not be far above `through` of the last checkpoint, which is signed. No event above the same bound is
  sealed. So each event can be sealed at once, and nothing that raw SQL writes leads to the last number that can be
  sealed, `MAX_NUMBER`. If the sealed numbers reach the bound before `through` follows, some more may be taken.

If a number is refused, the server sets the sequence behind the sealed events, and takes other numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import Connection, Engine

from authsec_server.audit.counting import month_of
from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.db.locks import NUMBERS_LOCK
from authsec_server.failures import Unavailable

log = structlog.get_logger(__name__)

FAR: Final = 2**32  # numbers: more than all events between two checkpoints
UNUSUAL: Final = 2**52  # no server ever reaches this number, if nobody changes the database
SEQUENCE: Final = "events_id_seq"  # PostgreSQL's
_MORE: Final = 2**28  # numbers above a sealed one that an event may always get; more than `_TRIES` leave out
_BEHIND_NEW: Final = 100_000  # numbers: more than the events that have no seal yet, if the sealer keeps up
_TRIES: Final = 12  # each leaves out twice as many numbers
# Raw SQL can insert very many seals of any number, and delete them: PostgreSQL may still have to read their entries in
# the index of numbers. So only the newest places that a checkpoint covers are read. Numbers ascend there, except those
# of events that were committed late. If the highest number is not among them, fewer numbers are refused.
_NEWEST_LEAVES: Final = (
    "(SELECT event_id FROM sealed_events"
    " WHERE position >= 0 AND position < (SELECT coalesce(max(size), 0) FROM checkpoints)"
    " ORDER BY position DESC LIMIT 200) AS newest"
)
# On SQLite, raw SQL can write a text here as well. A text is above each number.
_SEALED: Final = f"(SELECT max(CAST(event_id AS BIGINT)) FROM {_NEWEST_LEAVES} WHERE event_id <= 9223372036854775807)"  # noqa: S608 - constants
# A forged seal of a number that no sealer seals must not lead to the last number either.
_SEALED_WITHIN: Final = f"(SELECT max(event_id) FROM {_NEWEST_LEAVES} WHERE event_id <= (SELECT %s::bigint))"  # noqa: S608 - constants
_SET: Final = f"SELECT setval('{SEQUENCE}'::regclass, %s::bigint)"
_AT_ONCE: Final = f"SELECT seqcache FROM pg_sequence WHERE seqrelid = '{SEQUENCE}'::regclass"  # noqa: S608 - a constant
_ONE_AT_ONCE: Final = f"ALTER SEQUENCE {SEQUENCE} CACHE 1"
# A transaction that has taken a number holds this lock to its end.
_TAKING: Final = (
    f"SELECT virtualtransaction FROM pg_locks WHERE relation = '{SEQUENCE}'::regclass"  # noqa: S608 - a constant
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND mode = 'RowExclusiveLock' AND granted"
)
# Raw SQL can write any value into SQLite's table of last numbers, also a long one, or text that is not UTF-8.
SEQ_IN_FILE: Final = "SELECT CASE typeof(seq) WHEN 'integer' THEN seq END FROM sqlite_sequence WHERE name = 'events'"
# As SQLite numbers the rows of this table by itself: no number is given twice, though its row may be gone.
_LAST: Final = f"SELECT max(coalesce(({SEQ_IN_FILE}), 0), coalesce((SELECT max(id) FROM events), 0))"  # noqa: S608 - a constant
_BOUND: Final = f"SELECT coalesce({_SEALED}, 0) + {FAR}"
_LAST_IN_BOUND: Final = (
    f"SELECT max(coalesce((SELECT max(id) FROM events WHERE id <= ({_BOUND})), 0), coalesce({_SEALED}, 0))"  # noqa: S608 - constants
)
# `through` of the last checkpoint that this process verified in each database on PostgreSQL.
_through: Final[WeakKeyDictionary[Engine, int]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Numbers:
    """Which numbers events may have on PostgreSQL: all above `sealed`, up to `last`. No others are sealed."""

    sealed: int
    last: int

    @classmethod
    def after(cls, sealed: int, through: int | None) -> Numbers:
        """Return the numbers after this sealed one, and after a checkpoint. `through` is None if it is unknown."""
        # Half as far without `through`, which the sealer knows: it is below `sealed`, and so is the sealer's bound.
        last = sealed + FAR // 2 if through is None else through + FAR
        sealed = max(sealed, through or 0)
        return cls(sealed, min(max(last, sealed + _MORE), MAX_NUMBER))

    def holds(self, first: int, last: int) -> bool:
        """Whether all of these numbers, in order, are among them."""
        return self.sealed < first and last <= self.last


def looked_through_since(at: datetime) -> datetime:
    """Return the beginning of the month before `at`. No event since then has the number that an event of `at` gets."""
    return month_of(month_of(at) - timedelta(days=1))


def next_numbers(connection: Connection, count: int, at: datetime) -> list[int]:
    """Return this many new numbers, in order, for events of this time. `count` is at least 1.

    Raises `Unavailable` if PostgreSQL gives no numbers that an event may get.
    """
    if connection.dialect.name == "postgresql":
        return _next_on_postgresql(connection, count, looked_through_since(at))
    last: int = connection.exec_driver_sql(_LAST).scalar_one()
    if last + count >= UNUSUAL:  # go on after the genuine events
        last = connection.exec_driver_sql(_LAST_IN_BOUND).scalar_one()
    return list(range(last + 1, last + 1 + count))


def last_given(connection: Connection) -> int:
    """Return the number above which the database has given none to a server.

    On PostgreSQL, the sequence says it. On SQLite, an inserted event raises the last number as well. So a number of
    2^52 or more is trusted only near those that are sealed.
    """
    if connection.dialect.name == "postgresql":
        last, is_called = connection.exec_driver_sql(f"SELECT last_value, is_called FROM {SEQUENCE}").one()  # noqa: S608 - a constant
        return int(last) if is_called else int(last) - 1
    number: int = connection.exec_driver_sql(_LAST).scalar_one()
    return number if number < UNUSUAL else connection.exec_driver_sql(_BOUND).scalar_one()


def transactions_with_numbers(connection: Connection) -> frozenset[str]:
    """Return the transactions of PostgreSQL that have taken numbers and still run. There are none on SQLite.

    A transaction takes its numbers with a statement of its own, before it inserts the events.
    """
    if connection.dialect.name != "postgresql":
        return frozenset()
    return frozenset(connection.exec_driver_sql(_TAKING).scalars())


def ended_number(connection: Connection) -> int | None:
    """Return a number up to which no running transaction of PostgreSQL has one. None if such a transaction runs.

    Call it before the transaction that reads events: else an event may be committed in between.
    """
    last = last_given(connection)  # first: a later transaction takes later numbers
    return None if transactions_with_numbers(connection) else last


def numbers_after(connection: Connection, through: int) -> Numbers:
    """Return which numbers may follow a verified checkpoint, and remember `through` for `next_numbers`."""
    if connection.dialect.name != "postgresql":
        return Numbers(0, MAX_NUMBER)
    _through[connection.engine] = through
    bound = _highest_sealed(through)
    sealed: int | None = connection.exec_driver_sql(f"SELECT {_SEALED_WITHIN}", (bound,)).scalar_one()
    return Numbers.after(sealed or 0, through)


def is_disturbed(connection: Connection, numbers: Numbers) -> bool:
    """Whether raw SQL has changed PostgreSQL's sequence: it is not among these numbers, or gives many at once."""
    if connection.dialect.name != "postgresql":
        return False
    return not numbers.sealed <= last_given(connection) <= numbers.last or _at_once(connection) != 1


def end_cache(connection: Connection) -> None:
    """Have each session of PostgreSQL take one number at once, and log an error if it took several.

    Such a session has low numbers left when others are sealed.

    Call it in a transaction of its own: it waits for all transactions that have taken numbers.
    """
    if (at_once := _at_once(connection)) != 1:
        log.error("the sequence of event numbers gives many at once: authsec audit verify", at_once=at_once)
        connection.exec_driver_sql(_ONE_AT_ONCE)


def mend_sequence(connection: Connection, numbers: Numbers) -> None:
    """Set PostgreSQL's sequence behind the sealed events if it is not among these numbers, and log an error."""
    _lock(connection)
    if not numbers.sealed <= last_given(connection) <= numbers.last:
        _log_changed(numbers)
        _set_behind(connection, numbers, _BEHIND_NEW)


def _next_on_postgresql(connection: Connection, count: int, since: datetime) -> list[int]:
    found, _ = _taken(connection, count, since)
    if found:
        return found
    connection.exec_driver_sql("DISCARD SEQUENCES")  # numbers that this session took in advance
    found, _ = _taken(connection, count, since)
    if found:
        return found
    _lock(connection)
    for turn in range(_TRIES):
        found, numbers = _taken(connection, count, since)  # at first: another server may have set the sequence
        if found:
            return found
        if turn == 0:
            _log_changed(numbers)
        _set_behind(connection, numbers, _BEHIND_NEW << turn)
    raise Unavailable(
        "The database gives no numbers that an event may get.", "To see what was changed: authsec audit verify"
    )


@lru_cache(maxsize=16)
def _next(since: datetime) -> str:
    """Return the statement that takes numbers. It looks for them in the events since this time.

    The count and the bound are in queries of their own: PostgreSQL then plans the statement once, and not for each
    value. The time is part of the statement: so PostgreSQL plans it without the partitions before.
    """
    return (
        f"WITH taken AS MATERIALIZED (SELECT nextval('{SEQUENCE}'::regclass) AS number"  # noqa: S608 - constants
        f" FROM generate_series(1, (SELECT %s::integer))) SELECT number, {_SEALED_WITHIN},"
        f" (SELECT id FROM events WHERE at >= '{since.isoformat()}'::timestamptz"
        " AND id >= (SELECT min(number) FROM taken) ORDER BY id LIMIT 1)"
        " FROM taken ORDER BY number"
    )


def _taken(connection: Connection, count: int, since: datetime) -> tuple[list[int], Numbers]:
    """Take numbers from the sequence. Return them if events may get them, and which numbers events may get."""
    through = _through.get(connection.engine)
    bound = UNUSUAL if through is None else _highest_sealed(through)
    rows = connection.exec_driver_sql(_next(since), (count, bound)).all()
    found, (_, sealed, used) = [row[0] for row in rows], rows[0]
    numbers = Numbers.after(sealed or 0, through)
    free = numbers.holds(found[0], found[-1]) and (used is None or used > found[-1])
    return found if free else [], numbers


def _highest_sealed(through: int) -> int:
    """Return the highest number that is believed to be sealed after this checkpoint: raw SQL can insert any seal."""
    return through + 2 * FAR


def _set_behind(connection: Connection, numbers: Numbers, skipped: int) -> None:
    """Leave out this many numbers behind the last one that was given, or behind the seals if that is none of these."""
    last = last_given(connection)
    last = last if numbers.sealed <= last <= numbers.last - skipped else numbers.sealed
    connection.exec_driver_sql(_SET, (min(last + skipped, MAX_NUMBER),))


def _log_changed(numbers: Numbers) -> None:
    log.error("the sequence of event numbers was changed, and is set: authsec audit verify", sealed=numbers.sealed)


def _lock(connection: Connection) -> None:
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (NUMBERS_LOCK,))  # two must not set it at once


def _at_once(connection: Connection) -> int:
    number: int = connection.exec_driver_sql(_AT_ONCE).scalar_one()
    return number
