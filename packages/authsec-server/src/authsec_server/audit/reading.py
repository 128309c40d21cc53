"""Queries of events that go on at a row which no program of ours has written.

Raw SQL can make a row that cannot be read. It must not end the lists and sums of all others; `verify` names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, Select, select
from sqlalchemy.exc import DataError, OperationalError

from authsec_server.audit.shape import is_content
from authsec_server.audit.store import events
from authsec_server.db.schema import read_canonical_json

_UNREADABLE = (ValueError, TypeError, OperationalError, DataError)


def read_events(connection: Connection, statement: Select[Any]) -> Sequence[Row[Any] | int]:
    """The rows of this query of whole events, in order; of one that cannot be read, the number."""
    try:
        return connection.execute(statement).all()
    except _UNREADABLE as error:
        _raise_unless_of_a_row(error)
    with any_text(connection):
        numbers = connection.execute(statement.with_only_columns(statement.selected_columns.id)).scalars().all()
        return [row for number in dict.fromkeys(numbers) for row in _of_number(connection, number)]


def readable(connection: Connection, statement: Select[Any]) -> Sequence[Any]:
    """The rows of this query of parts of events, but those that cannot be read."""
    try:
        return connection.execute(statement).all()
    except _UNREADABLE as error:
        _raise_unless_of_a_row(error)
    with any_text(connection):
        return list(_one_by_one(connection, statement))


def read_content(kind: Any, delegations: Any, roles: Any, detail: Any) -> tuple[Any, Any, Any] | None:
    """The three JSON columns of an event of this kind, read from text; None where they have another shape."""
    try:
        content = tuple(map(read_canonical_json, (delegations, roles, detail)))
    except ValueError:
        return None
    return content if is_content(kind, *content) else None


@contextmanager
def any_text(connection: Connection) -> Iterator[None]:
    """While this is open, text in SQLite that is no UTF-8 has lone surrogates in Python, and ends nothing."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = connection.connection.driver_connection
    assert driver is not None
    before, driver.text_factory = driver.text_factory, _decoded
    try:
        yield
    finally:
        driver.text_factory = before


def _decoded(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def _raise_unless_of_a_row(error: Exception) -> None:
    """Raise it again where the database is away, and not a value of a row at fault."""
    if isinstance(error, OperationalError) and not str(error.orig).startswith("Could not decode"):
        raise error


def _of_number(connection: Connection, number: int) -> Sequence[Row[Any] | int]:
    try:
        return connection.execute(select(events).where(events.c.id == number)).all()
    except _UNREADABLE as error:
        _raise_unless_of_a_row(error)
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
