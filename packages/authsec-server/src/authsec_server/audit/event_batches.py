"""Insert the events of many token requests with one statement of the driver.

SQLAlchemy would take longer over a statement than the database. The rows are those that `store.add` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, String

from authsec_server.audit.model import Event
from authsec_server.audit.store import delegation_ids, event_delegations, events, row_of
from authsec_server.db.schema import CanonicalJson, Instant, canonical_json

_COLUMNS: Final = tuple(each for each in events.columns if each.name != "count_key")
_LINKS: Final = ("delegation_id", "event_id")
# As SQLite numbers the rows of this table by itself: no number is given twice, though its row may be gone.
_LAST_NUMBER: Final = (
    "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0),"
    " coalesce((SELECT max(id) FROM events), 0))"
)
_NUMBERS: Final = "SELECT nextval('events_id_seq') FROM generate_series(1, %s)"


def add_all(connection: Connection, batch: Sequence[Event]) -> None:
    """Insert these events, and number them in their order."""
    driver, on_postgresql = connection.connection.driver_connection, connection.dialect.name == "postgresql"
    assert driver is not None
    cursor = driver.cursor()
    if on_postgresql:
        numbers = [row[0] for row in cursor.execute(_NUMBERS, (len(batch),))]
    else:
        first = cursor.execute(_LAST_NUMBER).fetchone()[0] + 1
        numbers = list(range(first, first + len(batch)))
    write = _WRITE_POSTGRESQL if on_postgresql else _WRITE_SQLITE
    rows = []
    for number, event in zip(numbers, batch, strict=True):
        row = row_of(event)
        row["id"], row["occurrences"] = number, 1
        rows.append([convert(row[name]) if convert else row[name] for name, convert in write])
    cursor.executemany(_insert("events", [each.name for each in _COLUMNS], on_postgresql), rows)
    links = [(id_, number) for number, event in zip(numbers, batch, strict=True) for id_ in delegation_ids(event)]
    if links:
        cursor.executemany(_insert(event_delegations.name, _LINKS, on_postgresql), links)


def _insert(table: str, names: Sequence[str], on_postgresql: bool) -> str:
    marks = ", ".join(["%s" if on_postgresql else "?"] * len(names))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - names from here


def _sqlite_instant(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _text(value: str | None) -> str | None:
    return None if value is None else str(value)  # an enum is its text


def _writers(instant: Callable[[Any], Any] | None) -> Sequence[tuple[str, Callable[[Any], Any] | None]]:
    kinds = ((Instant, instant), (CanonicalJson, canonical_json), (String, _text))
    return [
        (each.name, next((write for kind, write in kinds if isinstance(each.type, kind)), None)) for each in _COLUMNS
    ]


_WRITE_SQLITE: Final = _writers(_sqlite_instant)
_WRITE_POSTGRESQL: Final = _writers(None)
