"""The numbers of events: how a server takes the next ones, and which numbers the database has given so far.

The attack: raw SQL inserts an event with a very high number, or sets the sequence of numbers to another value.
Without these rules, new events get numbers that a checkpoint already covers, or that no checkpoint can cover.
Then they never get a seal.
"""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import Connection, Engine

from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.db.locks import NUMBERS_LOCK

log = structlog.get_logger(__name__)

FAR: Final = 2**32  # numbers: more than all events between two checkpoints
UNUSUAL: Final = 2**52  # no server ever reaches this number, if nobody changes the database
_BEHIND_NEW: Final = 100_000  # numbers: more than the events that have no seal yet
SEQUENCE: Final = "events_id_seq"  # PostgreSQL's
# On SQLite, raw SQL can write a text here as well. A text is above each number.
_SEALED: Final = (
    "(SELECT CAST(event_id AS BIGINT) FROM sealed_events WHERE event_id <= 9223372036854775807"
    " ORDER BY event_id DESC LIMIT 1)"
)
_NEXT: Final = f"SELECT nextval('{SEQUENCE}'::regclass) FROM generate_series(1, %s)"  # noqa: S608 - a constant
_RAISE: Final = f"SELECT setval('{SEQUENCE}'::regclass, %s::bigint)"
# Raw SQL can write any value into SQLite's table of last numbers, also a long one, or text that is not UTF-8.
SEQ_IN_FILE: Final = "SELECT CASE typeof(seq) WHEN 'integer' THEN seq END FROM sqlite_sequence WHERE name = 'events'"
# As SQLite numbers the rows of this table by itself: no number is given twice, though its row may be gone.
_LAST: Final = f"SELECT max(coalesce(({SEQ_IN_FILE}), 0), coalesce((SELECT max(id) FROM events), 0))"  # noqa: S608 - a constant
_BOUND: Final = f"SELECT coalesce({_SEALED}, 0) + {FAR}"
_LAST_IN_BOUND: Final = (
    f"SELECT max(coalesce((SELECT max(id) FROM events WHERE id <= ({_BOUND})), 0), coalesce({_SEALED}, 0))"  # noqa: S608 - constants
)
# The highest number that this process has taken from each database on PostgreSQL.
_highest_taken: Final[WeakKeyDictionary[Engine, int]] = WeakKeyDictionary()


def next_numbers(connection: Connection, count: int) -> list[int]:
    """Return this many new numbers, in order. `count` is at least 1.

    A sequence of PostgreSQL that was set back is raised before, or by the sealer within a second.
    """
    if connection.dialect.name == "postgresql":
        return _next_on_postgresql(connection, count)
    last: int = connection.exec_driver_sql(_LAST).scalar_one()
    if last >= UNUSUAL:  # go on after the genuine events
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


def raise_sequence(connection: Connection, through: int = 0) -> None:
    """Raise PostgreSQL's sequence, and log an error, if it is below a sealed number or `through`."""
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (NUMBERS_LOCK,))  # two must not raise it twice
    sealed = max(connection.exec_driver_sql(f"SELECT {_SEALED}").scalar_one() or 0, through)
    if last_given(connection) >= sealed:
        return
    log.error("the sequence of event numbers was set back, and is raised: authsec audit verify", sealed=sealed)
    connection.exec_driver_sql(_RAISE, (sealed + _BEHIND_NEW,))


def _next_on_postgresql(connection: Connection, count: int) -> list[int]:
    """Take the numbers from the sequence. Look at the seals only if the sequence may have been set back.

    A process looks at its first numbers, and when a number is not above those that it took before. If a sequence was
    set back above these, the sealer raises it.
    """
    numbers = _taken(connection, count)
    if numbers[0] <= _highest_taken.get(connection.engine, MAX_NUMBER):
        sealed = connection.exec_driver_sql(f"SELECT {_SEALED}").scalar_one()
        if sealed is not None and numbers[0] <= sealed:
            raise_sequence(connection)
            numbers = _taken(connection, count)
    _highest_taken[connection.engine] = numbers[-1]
    return numbers


def _taken(connection: Connection, count: int) -> list[int]:
    return list(connection.exec_driver_sql(_NEXT, (count,)).scalars())
