"""Read the events that wait for their seal, and compute their leaf hashes.

There may be very many events, and nearly all have the usual form. So their rows are read as they are stored, and the
text of their JSON columns is hashed without a change. If a row of a batch is unusual, the whole batch is read in the
way of all other readers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from json.encoder import encode_basestring_ascii as quoted
from operator import itemgetter
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Row

from authsec_server.audit.event_macs import has_mac, is_mac, mac_of, shared_digest
from authsec_server.audit.event_shape import TEXTS, are_ids, has_columns, has_version, is_event, is_number, is_timed
from authsec_server.audit.merkle_tree import COVERED, event_hash, text_hash
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.pauses import with_pauses
from authsec_server.audit.unreadable_rows import UNREADABLE, raise_unless_of_a_row, read_content, stored_bytes
from authsec_server.db.schema import read_canonical_json, read_instant

LONGEST_USUAL: Final = 2**14  # stored bytes of a row
WIDEST: Final = 8  # numbers that a query may search for each event
CHECKED: Final = 512  # cached JSON columns
MOST_FORMS: Final = 128  # cached forms of events: some kilobytes each
_NAMES: Final = tuple(sorted(COVERED))
_NUMBER, _KIND, _OCCURRENCES, _COUNT_KEY = map(_NAMES.index, ("id", "kind", "occurrences", "count_key"))
_MAC: Final = len(_NAMES)  # after the columns that a leaf covers
_VARYING: Final = ("at", "authority_version", "expires_at", "id", "jti", "request_id", "token_sha256")  # in order
_FIXED: Final = tuple(name for name in _NAMES if name not in _VARYING)
_varying, _fixed = (itemgetter(*map(_NAMES.index, names)) for names in (_VARYING, _FIXED))
_HOLE: Final = "\0"  # a column that varies, in the text of an event; JSON has it only as an escape
_MEMBERS: Final = (f'"{name}":{_HOLE if name in _VARYING else "%s"}' for name in _NAMES)
_FORM: Final = f"{{{','.join(_MEMBERS)}}}"
_ANY_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LONGEST: Final = tuple(TEXTS[name] for name in ("jti", "request_id", "token_sha256"))
_Read: TypeAlias = Callable[[Any], tuple[datetime | None, str]]


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


def usual_events(connection: Connection, numbers: Sequence[int], key: bytes | None) -> list[Sealable] | None:
    """Return the events with these ascending numbers. None if any event is missing or unusual, or lacks its MAC."""
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
        read, read_again = _INSTANTS[dialect]
        found = [_usual(row, read, read_again, key) for row in with_pauses(rows) if row[_NUMBER] in wanted]
    except _Unusual:
        return None
    except UNREADABLE as error:
        raise_unless_of_a_row(error)
        return None
    return found if [each.number for each in found] == [*numbers] else None


def sealable_events(
    connection: Connection, numbers: Sequence[int], since: datetime, key: bytes | None
) -> list[Sealable]:
    """Return the events with these numbers that a server can have written, and that have a MAC by this key.

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
        valid = [row for row in there.get(number, ()) if _is_genuine(row, key)]
        if valid:
            row = min(valid, key=lambda row: (row.at < since, row.at))
            occurrences = None if row.count_key is None else row.occurrences
            found.append(Sealable(row.id, row.at, row.kind, event_hash(row._asdict()), occurrences))
    return found


def _is_genuine(row: Row[Any], key: bytes | None) -> bool:
    its = row._asdict()
    return is_number(row.id) and is_event(its) and (key is None or has_mac(key, its))


def _usual(row: Sequence[Any], read: _Read, read_again: _Read, key: bytes | None) -> Sealable:
    """Return the event in a row as it is stored. Raises `_Unusual`."""
    stored_at, version, stored_expires_at, number, jti, request_id, token_sha256 = _varying(row)
    (at, at_text), (expires_at, expires_at_text) = read(stored_at), read_again(stored_expires_at)
    if at is None or not is_number(number) or row[_OCCURRENCES].__class__ is not int:
        raise _Unusual
    if not has_version(version, row[_COUNT_KEY]):
        raise _Unusual
    if not all(map(_is_text, (jti, request_id, token_sha256), _LONGEST)):
        raise _Unusual
    if not (is_timed(row[_KIND], at, expires_at, version) and are_ids(row[_KIND], jti, request_id)):
        raise _Unusual
    its = _fixed(row)
    # The time is a part of the form of refusals that are counted by the minute.
    form = _form(its) if row[_COUNT_KEY] is None else _form_of(its, at)
    if form is None:
        raise _Unusual
    one, two, three, four, five, six, seven, eight = form.pieces
    version_text = "null" if version is None else version
    jti_text, request_text, token_text = quoted(jti), quoted(request_id), quoted(token_sha256)
    if key is not None:
        varying = (
            f"[{form.address},{at_text},{version_text},{expires_at_text},{number},{jti_text},{form.kid},{request_text},"
            f"{token_text}]"
        )
        if not is_mac(row[_MAC], mac_of(key, form.digest, varying)):
            raise _Unusual
    text = (
        f"{one}{at_text}{two}{version_text}{three}{expires_at_text}{four}{number}{five}"
        f"{jti_text}{six}{request_text}{seven}{token_text}{eight}"
    )
    return Sealable(number, at, row[_KIND], text_hash(text), _counted(row[_OCCURRENCES], row[_COUNT_KEY]))


@dataclass(frozen=True, slots=True)
class _Form:
    """The text of `merkle_tree.event_text` around the columns that vary, and the parts of the MAC that do not vary."""

    pieces: tuple[str, ...]
    digest: bytes
    address: str
    kid: str


@lru_cache(maxsize=MOST_FORMS)
def _form(its: tuple[Any, ...]) -> _Form | None:
    """Return the result of `_form_of`. The events of an agent's tokens have the same other columns."""
    return _form_of(its, _ANY_TIME)


def _form_of(its: tuple[Any, ...], at: datetime) -> _Form | None:
    """Return the form of events with these columns that do not vary. None if a server writes other columns."""
    row = dict(zip(_FIXED, its, strict=True))
    content = read_content(row["kind"], row["delegations"], row["roles"], row["detail"], read=_parsed)
    if content is None:
        return None
    parsed = dict(zip(("delegations", "roles", "detail"), content, strict=True))
    version = 0 if row["count_key"] is None else None
    valid = {"at": at, "authority_version": version, "expires_at": None, **dict.fromkeys(_VARYING[3:], "")}
    if not has_columns({**row, **parsed, **valid}):
        return None
    text = _FORM % tuple(value if name in parsed else _member(value) for name, value in row.items())
    digest = shared_digest({**row, **parsed})
    return _Form(tuple(text.split(_HOLE)), digest, quoted(row["address"]), quoted(row["kid"]))


def _is_text(value: Any, longest: int) -> bool:
    """Whether the column has a text that a server writes. Raises `UnicodeEncodeError`, as `usual_events` expects."""
    is_short = value.__class__ is str and len(value) <= longest and "\0" not in value
    return is_short and (value.isascii() or bool(value.encode()))


def _member(value: Any) -> str:
    return quoted(value) if value.__class__ is str else "null" if value is None else str(value)


def _counted(occurrences: int, count_key: str | None) -> int | None:
    return None if count_key is None else occurrences


def _instant_of_sqlite(value: Any) -> tuple[datetime | None, str]:
    """Return the instant, and its JSON text in an event. Raises `NotCanonical`."""
    at = read_instant(value)
    return (None, "null") if at is None else (at.replace(tzinfo=UTC), f'"{value[:10]}T{value[11:]}+00:00"')


def _instant_of_postgresql(value: Any) -> tuple[datetime | None, str]:
    """Return the instant, and its JSON text in an event. Raises `_Unusual` for a column of another type."""
    if value is None:
        return None, "null"
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _Unusual
    at = value.astimezone(UTC)
    return at, f'"{at.isoformat(timespec="microseconds")}"'


# The function for times of events, and the same with a cache: tokens of one second end in few seconds.
_INSTANTS: Final[Mapping[str, tuple[_Read, _Read]]] = {
    dialect: (read, lru_cache(maxsize=64)(read))
    for dialect, read in (("sqlite", _instant_of_sqlite), ("postgresql", _instant_of_postgresql))
}


@lru_cache(maxsize=CHECKED)
def _parsed(text: str) -> Any:
    """Parse a JSON column. Agents that have the same role share two of the three texts."""
    return read_canonical_json(text)


@cache
def _sizes(dialect: str) -> str:
    return f"SELECT count(*), coalesce(max({stored_bytes(dialect)}), 0) FROM events WHERE {_between(dialect)}"  # noqa: S608 - names from here


@cache
def _rows(dialect: str) -> str:
    return f"SELECT {', '.join(_NAMES)}, mac FROM events WHERE {_between(dialect)} ORDER BY id"  # noqa: S608 - names from here


def _between(dialect: str) -> str:
    mark = "?" if dialect == "sqlite" else "%s"
    return f"id BETWEEN {mark} AND {mark}"
