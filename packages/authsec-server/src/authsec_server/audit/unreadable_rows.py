"""Queries of events that do not fail at an unreadable row.

Raw SQL can create a row that cannot be read, and `verify` reports the row.
Such a row must not stop lists and sums of the other rows.
A row of gigabytes must not exhaust the memory either.
So a query first reads the sizes of its rows, and skips rows longer than a server writes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Integer, Row, Select, String, literal_column, select
from sqlalchemy.exc import DataError, OperationalError

from authsec_server.audit.event_shape import is_content
from authsec_server.audit.store import events
from authsec_server.db.schema import LONGEST_JSON, CanonicalJson, read_canonical_json
from authsec_server.db.sqlite_reading import any_text

MOST_BYTES: Final = 2**24  # of the stored rows that a caller holds at once
LONGEST_ROW: Final = 3 * LONGEST_JSON + 2**18  # bytes: three JSON texts, and texts of 4,096 characters at most
_AT_ONCE: Final = 500  # numbers of events in one statement
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
        numbers = dict.fromkeys(number for number, _ in sizes)
        return [row for number in numbers for row in _of_number(connection, number, too_long)]


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
    together = 0
    for at, (_, size) in enumerate(sizes):
        together += size if size <= LONGEST_ROW else 0
        if together > MOST_BYTES and at:
            return at
    return len(sizes)


def numbers_fitting(connection: Connection, numbers: Sequence[int]) -> Sequence[int]:
    """Return as many of the first event numbers as have rows that fit into memory together."""
    sizes = dict(sizes_of(connection, select(events).where(events.c.id.in_(numbers))))
    return numbers[: fitting([(number, sizes.get(number, 0)) for number in numbers])]


def events_one_by_one(connection: Connection, numbers: Iterable[int]) -> Iterator[Row[Any] | int]:
    """Yield the events with these numbers, in batches that fit into memory. The caller must not keep the events.

    Instead of an unreadable event, yield its number.
    """
    numbers = list(dict.fromkeys(numbers))
    while numbers:
        some = numbers_fitting(connection, numbers[:_AT_ONCE])
        yield from read_events(connection, select(events).where(events.c.id.in_(some)).order_by(events.c.id))
        numbers = numbers[len(some) :]


def readable(connection: Connection, statement: Select[Any]) -> Sequence[Any]:
    """Return the readable rows of this query of columns of `events`. Unreadable rows are left out."""
    try:
        return connection.execute(statement).all()
    except UNREADABLE as error:
        raise_unless_of_a_row(error)
    with any_text(connection):
        return list(_one_by_one(connection, statement))


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
        texts = [each.name for each in events.c if isinstance(each.type, String | CanonicalJson)]
        lengths = [f'coalesce(octet_length("{name}"), 0)' for name in texts]
    return " + ".join(lengths)


def _of_number(connection: Connection, number: int, too_long: Collection[int]) -> Sequence[Row[Any] | int]:
    if number in too_long:
        return [number]
    try:
        return connection.execute(select(events).where(events.c.id == number)).all()
    except UNREADABLE as error:
        raise_unless_of_a_row(error)
        return [number]


def _one_by_one(connection: Connection, statement: Select[Any]) -> Iterator[Row[Any]]:
    result = connection.execute(statement)
    while True:
        try:
            row = result.fetchone()
            if row is None:
                return
            "".join(value for value in row if isinstance(value, str)).encode()
        except (ValueError, TypeError):  # the next call reads the next row
            continue
        yield row
