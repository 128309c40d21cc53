"""The numbers of events: how a server takes new numbers, and the highest number that was taken so far.

The attack: raw SQL inserts an event with a very high number, or changes PostgreSQL's sequence of event numbers.
Then new events would get numbers that a checkpoint already covers, or numbers that no checkpoint can cover.
Such events would never get a seal.

On PostgreSQL, a new number must satisfy two conditions:

- The number is above the newest sealed numbers, and no event since `looked_through_since` has this number.
  The statement that takes the number also checks this. The check never fails if nobody has changed the sequence.
  Earlier months are not checked: PostgreSQL would have to lock the partition of each month for each token.
- The number is not far above `through` of the last signed checkpoint. The sealer uses the same upper bound.
  So each event can be sealed at once, and raw SQL cannot use up the numbers up to `MAX_NUMBER`, the last valid number.
  If the sealed numbers reach the bound before `through` follows, some more numbers are allowed.

If a number is refused, the server sets the sequence to a value after the sealed events, and takes new numbers.
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
_MORE: Final = 2**28  # this many numbers above a sealed one are always allowed; more than `_TRIES` skip
_BEHIND_NEW: Final = 100_000  # numbers to skip: more than the number of unsealed events, if the sealer keeps up
_TRIES: Final = 12  # each skips twice as many numbers as the one before
# Only the 200 newest places that a checkpoint covers are read. The attack: raw SQL inserts and deletes very many seals,
# and PostgreSQL has to skip their dead entries in an index of numbers. Numbers ascend with the places, except those of
# events that were committed late. If the highest number is not among the 200, the check only refuses fewer numbers.
_NEWEST_LEAVES: Final = (
    "(SELECT event_id FROM sealed_events"
    " WHERE position >= 0 AND position < (SELECT coalesce(max(size), 0) FROM checkpoints)"
    " ORDER BY position DESC LIMIT 200) AS newest"
)
# On SQLite, raw SQL can store a text in this column. SQLite sorts a text above every number.
_SEALED: Final = f"(SELECT max(CAST(event_id AS BIGINT)) FROM {_NEWEST_LEAVES} WHERE event_id <= 9223372036854775807)"  # noqa: S608 - constants
# Numbers above the bound are ignored: no sealer seals them, so raw SQL has inserted such a seal.
_SEALED_WITHIN: Final = f"(SELECT max(event_id) FROM {_NEWEST_LEAVES} WHERE event_id <= (SELECT %s::bigint))"  # noqa: S608 - constants
_SET: Final = f"SELECT setval('{SEQUENCE}'::regclass, %s::bigint)"
_AT_ONCE: Final = f"SELECT seqcache FROM pg_sequence WHERE seqrelid = '{SEQUENCE}'::regclass"  # noqa: S608 - a constant
_ONE_AT_ONCE: Final = f"ALTER SEQUENCE {SEQUENCE} CACHE 1"
# A transaction that has taken a number keeps this lock until the transaction ends.
_TAKING: Final = (
    f"SELECT virtualtransaction FROM pg_locks WHERE relation = '{SEQUENCE}'::regclass"  # noqa: S608 - a constant
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND mode = 'RowExclusiveLock' AND granted"
)
# Raw SQL can write any value into `sqlite_sequence`, for example a long text or a text that is not UTF-8.
SEQ_IN_FILE: Final = "SELECT CASE typeof(seq) WHEN 'integer' THEN seq END FROM sqlite_sequence WHERE name = 'events'"
# The rule of SQLite's AUTOINCREMENT: no number is used twice, even if its row was deleted.
_LAST: Final = f"SELECT max(coalesce(({SEQ_IN_FILE}), 0), coalesce((SELECT max(id) FROM events), 0))"  # noqa: S608 - a constant
_BOUND: Final = f"SELECT coalesce({_SEALED}, 0) + {FAR}"
_LAST_IN_BOUND: Final = (
    f"SELECT max(coalesce((SELECT max(id) FROM events WHERE id <= ({_BOUND})), 0), coalesce({_SEALED}, 0))"  # noqa: S608 - constants
)
# `through` of the last checkpoint that this process verified in each database on PostgreSQL.
_through: Final[WeakKeyDictionary[Engine, int]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Numbers:
    """The range of numbers that new events may get on PostgreSQL: above `sealed`, up to `last`.

    The sealer seals no event with another number.
    """

    sealed: int
    last: int

    @classmethod
    def after(cls, sealed: int, through: int | None) -> Numbers:
        """Return the range after the highest sealed number and a checkpoint. `through` is None if it is unknown."""
        # If `through` is unknown, half the distance: the bound must not exceed the sealer's bound, `through + FAR`.
        last = sealed + FAR // 2 if through is None else through + FAR
        sealed = max(sealed, through or 0)
        return cls(sealed, min(max(last, sealed + _MORE), MAX_NUMBER))

    def holds(self, first: int, last: int) -> bool:
        """Whether the range contains all numbers from `first` to `last`."""
        return self.sealed < first and last <= self.last


def looked_through_since(at: datetime) -> datetime:
    """Return the beginning of the month before `at`.

    An event with the time `at` does not get the number of any event since then.
    """
    return month_of(month_of(at) - timedelta(days=1))


def next_numbers(connection: Connection, count: int, at: datetime) -> list[int]:
    """Return `count` new numbers, in ascending order, for events with the time `at`. `count` is at least 1.

    Raises `Unavailable` if PostgreSQL's sequence returns no number that an event may get.
    """
    if connection.dialect.name == "postgresql":
        return _next_on_postgresql(connection, count, looked_through_since(at))
    last: int = connection.exec_driver_sql(_LAST).scalar_one()
    if last + count >= UNUSUAL:  # raw SQL inserted a high number: continue after the genuine events
        last = connection.exec_driver_sql(_LAST_IN_BOUND).scalar_one()
    return list(range(last + 1, last + 1 + count))


def last_given(connection: Connection) -> int:
    """Return an upper bound of the event numbers that servers have taken so far.

    On PostgreSQL, this is the last value of the sequence. On SQLite, it is the highest number of an event.
    If raw SQL inserted a number of 2^52 or more on SQLite, it is a bound above the sealed numbers.
    """
    if connection.dialect.name == "postgresql":
        last, is_called = connection.exec_driver_sql(f"SELECT last_value, is_called FROM {SEQUENCE}").one()  # noqa: S608 - a constant
        return int(last) if is_called else int(last) - 1
    number: int = connection.exec_driver_sql(_LAST).scalar_one()
    return number if number < UNUSUAL else connection.exec_driver_sql(_BOUND).scalar_one()


def transactions_with_numbers(connection: Connection) -> frozenset[str]:
    """Return the running transactions of PostgreSQL that have taken event numbers. The result is empty on SQLite.

    A transaction takes its numbers in a separate statement, before it inserts the events.
    """
    if connection.dialect.name != "postgresql":
        return frozenset()
    return frozenset(connection.exec_driver_sql(_TAKING).scalars())


def ended_number(connection: Connection) -> int | None:
    """Return the last number that was taken. Return None if a transaction that took a number is still running.

    Call this function before the transaction that reads events. Otherwise an event may be committed in between.
    """
    last = last_given(connection)  # first: a later transaction takes later numbers
    return None if transactions_with_numbers(connection) else last


def numbers_after(connection: Connection, through: int) -> Numbers:
    """Return the range of numbers after a verified checkpoint. Remember `through` for `next_numbers`."""
    if connection.dialect.name != "postgresql":
        return Numbers(0, MAX_NUMBER)
    _through[connection.engine] = through
    bound = _highest_sealed(through)
    sealed: int | None = connection.exec_driver_sql(f"SELECT {_SEALED_WITHIN}", (bound,)).scalar_one()
    return Numbers.after(sealed or 0, through)


def is_disturbed(connection: Connection, numbers: Numbers) -> bool:
    """Whether raw SQL has changed PostgreSQL's sequence: its value is outside of the range, or its cache is not 1."""
    if connection.dialect.name != "postgresql":
        return False
    return not numbers.sealed <= last_given(connection) <= numbers.last or _at_once(connection) != 1


def end_cache(connection: Connection) -> None:
    """Set the cache of PostgreSQL's sequence to 1, and log an error if the cache was larger.

    With a larger cache, each session takes several numbers in advance. A session could then use a low number after
    higher numbers were sealed.

    Call this function in its own transaction: it waits for all transactions that have taken numbers.
    """
    if (at_once := _at_once(connection)) != 1:
        log.error("the sequence of event numbers had a cache, which is now 1: authsec audit verify", at_once=at_once)
        connection.exec_driver_sql(_ONE_AT_ONCE)


def mend_sequence(connection: Connection, numbers: Numbers) -> None:
    """Set PostgreSQL's sequence to a value after the sealed events, and log an error.

    Do nothing if the value of the sequence is in the range.
    """
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
        found, numbers = _taken(connection, count, since)  # before the change: another server may have set the sequence
        if found:
            return found
        if turn == 0:
            _log_changed(numbers)
        _set_behind(connection, numbers, _BEHIND_NEW << turn)
    raise Unavailable(
        "The database returned no usable number for an event.", "To see what was changed: authsec audit verify"
    )


@lru_cache(maxsize=16)
def _next(since: datetime) -> str:
    """Return the SQL statement that takes numbers, and that looks for events since this time with such a number.

    The count and the bound are subqueries, so PostgreSQL plans the statement only once for all values.
    The time is a literal, so PostgreSQL does not plan the partitions of earlier months.
    """
    return (
        f"WITH taken AS MATERIALIZED (SELECT nextval('{SEQUENCE}'::regclass) AS number"  # noqa: S608 - constants
        f" FROM generate_series(1, (SELECT %s::integer))) SELECT number, {_SEALED_WITHIN},"
        f" (SELECT id FROM events WHERE at >= '{since.isoformat()}'::timestamptz"
        " AND id >= (SELECT min(number) FROM taken) ORDER BY id LIMIT 1)"
        " FROM taken ORDER BY number"
    )


def _taken(connection: Connection, count: int, since: datetime) -> tuple[list[int], Numbers]:
    """Take numbers from the sequence. Return the numbers, and the range of allowed numbers.

    The list is empty if a taken number is outside of the range, or if an event may already have a taken number.
    """
    through = _through.get(connection.engine)
    bound = UNUSUAL if through is None else _highest_sealed(through)
    rows = connection.exec_driver_sql(_next(since), (count, bound)).all()
    found, (_, sealed, used) = [row[0] for row in rows], rows[0]
    numbers = Numbers.after(sealed or 0, through)
    free = numbers.holds(found[0], found[-1]) and (used is None or used > found[-1])
    return found if free else [], numbers


def _highest_sealed(through: int) -> int:
    """Return the highest number that a genuine seal can have after this checkpoint. Raw SQL can insert any seal."""
    return through + 2 * FAR


def _set_behind(connection: Connection, numbers: Numbers, skipped: int) -> None:
    """Set the sequence to a value `skipped` numbers after the last number that was taken.

    If the last number is outside of the range, start from the highest sealed number instead.
    """
    last = last_given(connection)
    last = last if numbers.sealed <= last <= numbers.last - skipped else numbers.sealed
    connection.exec_driver_sql(_SET, (min(last + skipped, MAX_NUMBER),))


def _log_changed(numbers: Numbers) -> None:
    log.error("the sequence of event numbers was changed and is reset: authsec audit verify", sealed=numbers.sealed)


def _lock(connection: Connection) -> None:
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (NUMBERS_LOCK,))  # one server at a time


def _at_once(connection: Connection) -> int:
    number: int = connection.exec_driver_sql(_AT_ONCE).scalar_one()
    return number
