"""Queries of events that do not fail at an unreadable row.

Raw SQL can create a row that cannot be read, and `verify` reports the row.
Such a row must not stop lists and sums of the other rows.
A row of gigabytes must not exhaust the memory either.
So a query first reads the sizes of its rows, and skips rows longer than a server writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    Row,
    Select,
    String,
    case,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.exc import DataError, OperationalError

from authsec_server.audit.event_shape import is_content
from authsec_server.audit.store import events
from authsec_server.db.schema import LONGEST_JSON, CanonicalJson, read_canonical_json
from authsec_server.db.sqlite_reading import any_text

MOST_BYTES: Final = 2**24  # of the stored rows that a caller has in memory
LONGEST_ROW: Final = 3 * LONGEST_JSON + 2**18  # bytes: three JSON texts, and texts of 4,096 characters at most
MOST_COPIES: Final = 10  # events of one number that are read, however long they are
_AT_ONCE: Final = 500  # numbers of events in one statement
_MOST_ROWS: Final = 2000  # that a caller has in memory, however short they are
UNREADABLE = (ValueError, TypeError, OperationalError, DataError)

Size = tuple[int, int]
"""The number of a row of `events`, and the stored bytes of the row."""


def read_events(
    connection: Connection, statement: Select[Any], sizes: Sequence[Size] | None = None
) -> Sequence[Row[Any] | int]:
    """Return the rows of this query, in order. Instead of an unreadable row, return its event number.

    The query must select all columns of `events`.
    `sizes` are the sizes of the rows if the caller has already read them.
    """
    sizes = sizes_of(connection, statement) if sizes is None else sizes
    too_long = {number for number, size in sizes if size > LONGEST_ROW}
    try:
        if not too_long:
            return connection.execute(statement).all()
    except UNREADABLE as error:
        raise_unless_of_a_row(error)
    with any_text(connection):
        rows = Counter(number for number, _ in sizes)
        return [row for number in rows for row in _of_number(connection, number, rows[number], too_long)]


def sizes_of(connection: Connection, statement: Select[Any]) -> Sequence[Size]:
    """Return the event number and the number of stored bytes of each row of this query, in order.

    The query must select all columns of `events`.
    """
    number, length = statement.selected_columns.id, _stored_bytes(connection.dialect.name)
    with any_text(connection):
        rows = connection.execute(statement.with_only_columns(number, length))
        return [(row[0], row[1]) for row in rows]


def fitting(sizes: Sequence[Size]) -> int:
    """Return how many of the first rows fit into memory together. The result is at least 1 if there are rows."""
    return _fitting((1, size if size <= LONGEST_ROW else 0) for _, size in sizes)


def numbers_fitting(connection: Connection, numbers: Sequence[int]) -> Sequence[int]:
    """Return as many of the first event numbers as have rows that fit into memory together.

    On PostgreSQL, raw SQL can insert very many events with one number, so the sizes are added up in the database.
    """
    size = _stored_bytes(connection.dialect.name)
    of_each = (func.count(), func.sum(case((size <= LONGEST_ROW, size), else_=0)))
    statement = select(events.c.id, *of_each).where(events.c.id.in_(numbers)).group_by(events.c.id)
    with any_text(connection):
        measured = {row[0]: (row[1], int(row[2])) for row in connection.execute(statement)}
    return numbers[: _fitting(measured.get(number, (0, 0)) for number in numbers)]


def read_numbered(
    connection: Connection, numbers: Collection[int], *conditions: ColumnElement[bool]
) -> Sequence[Row[Any] | int]:
    """Return the matching events with these numbers, in order. `numbers_fitting` must have returned the numbers.

    Instead of an unreadable event, return its number.
    If very many events have one number, only the earliest are returned, but at least `MOST_COPIES`.
    """
    its = select(events).where(events.c.id.in_(numbers), *conditions)
    statement = its.order_by(events.c.id, events.c.at).limit(_MOST_ROWS)
    sizes = sizes_of(connection, statement)
    number = max(MOST_COPIES, fitting(sizes))
    return read_events(connection, statement.limit(number), sizes[:number])


def events_one_by_one(connection: Connection, numbers: Iterable[int]) -> Iterator[Row[Any] | int]:
    """Yield the events with these numbers, in batches that fit into memory. The caller must not keep the events.

    Instead of an unreadable event, yield its number. If very many events have one number, yield only the earliest.
    """
    numbers = list(dict.fromkeys(numbers))
    while numbers:
        some = numbers_fitting(connection, numbers[:_AT_ONCE])
        yield from read_numbered(connection, some)
        numbers = numbers[len(some) :]


def readable(connection: Connection, statement: Select[Any]) -> Sequence[Any]:
    """Return the readable rows of this query, which selects columns of `events`."""
    try:
        return connection.execute(statement).all()
    except UNREADABLE as error:
        raise_unless_of_a_row(error)
    with any_text(connection):
        return list(_one_by_one(connection, statement))


def readable_stream(connection: Connection, statement: Select[Any], at_once: int) -> Iterator[Any]:
    """Yield the rows that `readable` returns. In memory are `at_once` rows."""
    with any_text(connection):
        yield from _one_by_one(connection, statement.execution_options(yield_per=at_once))


def octets(connection: Connection, text: ColumnElement[str]) -> ColumnElement[int]:
    """Return the SQL for the number of bytes of a text."""
    if connection.dialect.name == "postgresql":
        return func.octet_length(text, type_=Integer)
    return func.length(cast(text, LargeBinary), type_=Integer)


def read_content(
    kind: Any, delegations: Any, roles: Any, detail: Any, *, read: Callable[[Any], Any] = read_canonical_json
) -> tuple[Any, Any, Any] | None:
    """Parse the three JSON columns of an event of this kind; None if their shape is wrong.

    `read` parses one column, and raises `ValueError` as `read_canonical_json` does.
    """
    try:
        content = (read(delegations), read(roles), read(detail))
    except ValueError:
        return None
    return content if is_content(kind, *content) else None


def raise_unless_of_a_row(error: Exception) -> None:
    """Raise the error again, unless a value in a row caused the error.

    An unreachable database causes an error that is raised again.
    """
    if isinstance(error, OperationalError) and not str(error.orig).startswith("Could not decode"):
        raise error


@cache
def _stored_bytes(dialect: str) -> ColumnElement[int]:
    return literal_column(stored_bytes(dialect), Integer)


@cache
def stored_bytes(dialect: str) -> str:
    """Return the SQL for the number of stored bytes of an event.

    The SQL is written as text, because building an expression of 25 functions takes longer than the query.
    """
    if dialect == "sqlite":  # where every column holds anything
        lengths = [f'coalesce(length(CAST("{each.name}" AS BLOB)), 0)' for each in events.c]
    else:
        texts = [each.name for each in events.c if isinstance(each.type, String | CanonicalJson | LargeBinary)]
        lengths = [f'coalesce(octet_length("{name}"), 0)' for name in texts]
    return " + ".join(lengths)


def _fitting(measured: Iterable[tuple[int, int]]) -> int:
    """Return how many of the first entries fit into memory together. The result is at least 1 if there are entries.

    Each entry has a number of rows and a number of stored bytes.
    """
    at, rows, together = 0, 0, 0
    for number, size in measured:
        rows, together = rows + number, together + size
        if at and (rows > _MOST_ROWS or together > MOST_BYTES):
            break
        at += 1
    return at


def _of_number(connection: Connection, number: int, limit: int, too_long: Collection[int]) -> Sequence[Row[Any] | int]:
    """Return the earliest `limit` events with this number. Return the number instead of an unreadable event."""
    if number in too_long:
        return [number]
    statement = select(events).where(events.c.id == number).order_by(events.c.at).limit(limit)
    try:
        return connection.execute(statement).all()
    except UNREADABLE as error:
        raise_unless_of_a_row(error)
        return [number]


def _one_by_one(connection: Connection, statement: Select[Any]) -> Iterator[Row[Any]]:
    with closing(connection.execute(statement)) as result:
        while True:
            try:
                row = result.fetchone()
                if row is None:
                    return
                "".join(value for value in row if isinstance(value, str)).encode()
            except (ValueError, TypeError):  # the next call reads the next row
                continue
            yield row
