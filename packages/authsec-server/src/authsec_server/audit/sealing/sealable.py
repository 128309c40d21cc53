"""Read the events that wait for their seal, and compute their leaf hashes.

There may be very many events, and nearly all have the usual form. So their rows are read as they are stored, and the
text of their JSON columns is hashed without a change. If a row of a batch is unusual, the whole batch is read in the
way of all other readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

from sqlalchemy import Connection

from authsec_server.audit.event_shape import has_columns, is_event, is_number
from authsec_server.audit.merkle_tree import COVERED, event_hash, text_hash
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.pauses import with_pauses
from authsec_server.audit.unreadable_rows import UNREADABLE, raise_unless_of_a_row, read_content, stored_bytes
from authsec_server.db.schema import read_canonical_json, read_instant

LONGEST_USUAL: Final = 2**14  # stored bytes of a row
WIDEST: Final = 8  # numbers that a query may search for each event
CHECKED: Final = 512  # cached JSON columns: all tokens of an agent have the same
_NAMES: Final = tuple(sorted(COVERED))
_NUMBER, _AT, _EXPIRES_AT = map(_NAMES.index, ("id", "at", "expires_at"))
_JSON: Final = tuple(map(_NAMES.index, ("delegations", "roles", "detail")))
_MEMBERS: Final = tuple(f'"{name}":' for name in _NAMES)  # of the JSON text of an event


class _Unusual(Exception):
    """The row must be read as other readers read it."""


@dataclass(frozen=True, slots=True)
class Sealable:
    """An event that gets a seal. `occurrences` is None, or the number of refusals that are counted in this row."""

    number: int
    at: datetime
    kind: str
    hash: bytes
    occurrences: int | None


def usual_events(connection: Connection, numbers: Sequence[int]) -> list[Sealable] | None:
    """Return the events with these ascending numbers. None if any event is missing or unusual."""
    if not numbers:
        return []
    if numbers[-1] - numbers[0] > WIDEST * len(numbers):  # most events between them have their seal
        return None
    dialect, between = connection.dialect.name, (numbers[0], numbers[-1])
    try:
        count, longest = connection.exec_driver_sql(_sizes(dialect), between).one()
        if count > 2 * len(numbers) or longest > LONGEST_USUAL:
            return None
        wanted = set(numbers)
        rows = connection.exec_driver_sql(_rows(dialect), between).all()
        found = [_usual(row, dialect) for row in with_pauses(rows) if row[_NUMBER] in wanted]
    except _Unusual:
        return None
    except UNREADABLE as error:
        raise_unless_of_a_row(error)
        return None
    return found if [each.number for each in found] == [*numbers] else None


def sealable_events(connection: Connection, numbers: Sequence[int], since: datetime) -> list[Sealable]:
    """Return the events with these numbers that a server can have written.

    A checkpoint covers only events that lists and exports can show.
    Of several events with one number, only one is sealed: the earliest event that is not before `since`. If all are
    before `since`, it is the earliest of them. The attack: raw SQL inserts a copy of a genuine event. If neither were
    sealed, both could be deleted later without a finding.
    A server that takes a new number does not look for it in events before `since`. So raw SQL can insert an old event
    with a future number. The genuine event that later gets this number must still be sealed.
    """
    there = store.events_by_number(connection, numbers)
    found = []
    for number in numbers:
        valid = [row for row in there.get(number, ()) if is_number(row.id) and is_event(row._asdict())]
        if valid:
            row = min(valid, key=lambda row: (row.at < since, row.at))
            occurrences = None if row.count_key is None else row.occurrences
            found.append(Sealable(row.id, row.at, row.kind, event_hash(row._asdict()), occurrences))
    return found


def _usual(row: Sequence[Any], dialect: str) -> Sealable:
    """Return the event in a row as it is stored. Raises `_Unusual`."""
    its = dict(zip(_NAMES, row, strict=True))
    content = _content(its["kind"], its["delegations"], its["roles"], its["detail"])
    instant = read_instant if dialect == "sqlite" else _zoned
    at, expires_at = map(_in_utc, (instant(its["at"]), instant(its["expires_at"])))
    if content is None or at is None or not is_number(its["id"]):
        raise _Unusual
    its["at"], its["delegations"], its["roles"], its["detail"] = at, *content
    if not has_columns(its):
        raise _Unusual
    hash_ = text_hash(_text(row, at, expires_at))
    return Sealable(its["id"], at, its["kind"], hash_, _counted(its["occurrences"], its["count_key"]))


def _text(row: Sequence[Any], at: datetime, expires_at: datetime | None) -> str:
    """Return the text of `merkle_tree.event_text` for this row. The caller has checked the columns."""
    members = [
        name + (quoted(value) if value.__class__ is str else "null" if value is None else str(value))
        for name, value in zip(_MEMBERS, row, strict=True)
    ]
    for place in _JSON:
        members[place] = _MEMBERS[place] + row[place]
    members[_AT] = f'{_MEMBERS[_AT]}"{at.isoformat(timespec="microseconds")}"'
    if expires_at is not None:
        members[_EXPIRES_AT] = f'{_MEMBERS[_EXPIRES_AT]}"{expires_at.isoformat(timespec="microseconds")}"'
    return f"{{{','.join(members)}}}"


def _counted(occurrences: int, count_key: str | None) -> int | None:
    return None if count_key is None else occurrences


def _zoned(value: Any) -> datetime | None:
    """Return the instant as PostgreSQL's driver reads it. Raises `_Unusual` for a column of another type."""
    if value is None or (isinstance(value, datetime) and value.tzinfo is not None):
        return value
    raise _Unusual


def _in_utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


@lru_cache(maxsize=CHECKED)
def _content(kind: str, delegations: str, roles: str, detail: str) -> tuple[Any, Any, Any] | None:
    """Parse the three JSON columns. None if a server writes another form. Callers must not change the result."""
    return read_content(kind, delegations, roles, detail, read=_parsed)


@lru_cache(maxsize=CHECKED)
def _parsed(text: str) -> Any:
    """Parse a JSON column. Agents that have the same role share two of the three texts."""
    return read_canonical_json(text)


@cache
def _sizes(dialect: str) -> str:
    return f"SELECT count(*), coalesce(max({stored_bytes(dialect)}), 0) FROM events WHERE {_between(dialect)}"  # noqa: S608 - names from here


@cache
def _rows(dialect: str) -> str:
    return f"SELECT {', '.join(_NAMES)} FROM events WHERE {_between(dialect)} ORDER BY id"  # noqa: S608 - names from here


def _between(dialect: str) -> str:
    mark = "?" if dialect == "sqlite" else "%s"
    return f"id BETWEEN {mark} AND {mark}"
