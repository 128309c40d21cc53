"""Read the rows of the count tables exactly as they are stored, without an order and without a database index.

A column of SQLite can contain values of any type and spelling, and queries compare the values as texts.
Therefore a stored value is valid only in the exact form that the roll-up writes.
An instant has the form `2026-11-25 12:00:00.000000` (UTC). A number is an integer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import product
from typing import Any, Final

from sqlalchemy import Connection, text

Value = str | int | None
_FORM: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}", re.ASCII)
_CHUNK: Final = 5000  # rows
_LONGEST: Final = 1024  # octets of a value; no server writes a longer one. `verify` holds 5,000 rows at once
_NUMBERS: Final = frozenset({"id", "rebuilds", "through", "top", "occurrences", "tokens"})
_INSTANTS: Final = frozenset({"until", "top_at", "hour", "day", "month", "granted_at", "refused_at"})
_NULLABLE: Final = frozenset({"top_at", "granted_at", "refused_at", "refused_reason"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CountTable:
    """A table of counts, with the names of its key columns and its value columns. The first key column is a time."""

    name: str
    key: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return all columns, the key columns first."""
        return self.key + self.values


HOURLY: Final = CountTable(name="hourly_counts", key=("hour", "kind", "reason"), values=("occurrences",))
CLIENTS: Final = CountTable(name="client_counts", key=("hour", "client_id", "kind", "reason"), values=("occurrences",))
DAILY: Final = CountTable(name="daily_uses", key=("day", "subject_id", "action"), values=("tokens",))
LAST: Final = CountTable(
    name="last_uses", key=("month", "subject_id"), values=("granted_at", "refused_at", "refused_reason")
)
TABLES: Final = (HOURLY, CLIENTS, DAILY, LAST)
MARK: Final = CountTable(name="counted", key=("until",), values=("id", "through", "rebuilds", "top", "top_at"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRow:
    """The values of one row, in the order of `CountTable.columns`.

    `odd` describes a value with a wrong type or spelling. `odd` is empty for a valid row.
    `handle` identifies the row in the database: the SQLite `rowid` or the PostgreSQL `ctid`; empty for a copied row.
    """

    values: tuple[Value, ...]
    handle: int | str
    odd: str = ""

    @property
    def at(self) -> str:
        """Return the row's time, which is its first value; empty if that value is not a text."""
        return self.values[0] if isinstance(self.values[0], str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The progress of the roll-up: events numbered up to `through`, or dated before `until`, are in the counts.

    `problem` is a sentence that says why the mark is invalid. `problem` is empty for a valid mark.
    """

    until: datetime | None
    through: int = 0
    rebuilds: int = 0
    problem: str = ""


def missing_columns(columns_of: Callable[[str], Collection[str]]) -> list[str]:
    """List the columns of the count tables that the database lacks, as `table.column`.

    `columns_of` returns the columns of a table; none if the table is missing.
    """
    missing = []
    for table in (*TABLES, MARK):
        there = columns_of(table.name)
        missing += [f"{table.name}.{column}" for column in table.columns if column not in there]
    return missing


def stored_rows(connection: Connection, table: CountTable) -> Iterator[StoredRow]:
    """Stream all rows of the table."""
    on_postgresql = connection.dialect.name == "postgresql"
    if on_postgresql:
        read_in_sequence(connection)
    statement = text(_postgresql(table) if on_postgresql else _sqlite(table))
    rows = connection.execute(statement.execution_options(yield_per=_CHUNK))
    yield from map(_Postgresql(table).row if on_postgresql else _Sqlite(table).row, rows)


def copied_rows(table: CountTable, rows: Iterable[Sequence[Any]]) -> Iterator[StoredRow]:
    """Convert rows that were copied from PostgreSQL. A copied row has the columns of the table, and times as texts."""
    read = _Postgresql(table).row
    for row in rows:
        yield read(("", *row))


def stored_row(connection: Connection, table: CountTable, handle: int | str) -> StoredRow | None:
    """Return the row with this handle, or None if the row is gone."""
    if connection.dialect.name == "postgresql":
        read_in_sequence(connection)
        where, read = "ctid = CAST(:handle AS tid)", _Postgresql(table).row
        statement = _postgresql(table)
    else:
        where, read = "rowid = :handle", _Sqlite(table).row
        statement = _sqlite(table)
    found = connection.execute(text(f"{statement} WHERE {where}"), {"handle": handle}).one_or_none()
    return None if found is None else read(found)


def read_in_sequence(connection: Connection) -> None:
    """Make PostgreSQL ignore indexes and print instants in one form until the transaction ends."""
    # PostgreSQL could read a covering index instead of the table. The form of a printed instant is a setting.
    for setting in (
        "enable_indexscan = off",
        "enable_indexonlyscan = off",
        "enable_bitmapscan = off",
        "datestyle = 'ISO'",
        "timezone = 'UTC'",
    ):
        connection.execute(text(f"SET LOCAL {setting}"))


def read_mark(connection: Connection) -> Mark:
    """Read the progress mark of the roll-up: which events are in the counts."""
    return mark_of(stored_rows(connection, MARK))


def mark_of(rows: Iterable[StoredRow]) -> Mark:
    """Return the progress mark of the roll-up from the rows of its table."""
    its = iter(rows)
    row = next(its, None)
    others = sum(1 for _ in its)  # raw SQL may have inserted very many
    if row is None or others:
        number = others + (row is not None)
        return Mark(until=None, problem=f"The table `counted` has {number} rows; it must have one.")
    until, _, through, rebuilds, *_ = row.values
    if row.odd or not isinstance(until, str) or not isinstance(through, int) or not isinstance(rebuilds, int):
        return Mark(until=None, problem=f"The row of the table `counted` has a value that no server writes: {row.odd}.")
    return Mark(until=instant(until), through=through, rebuilds=rebuilds)


def stored(at: datetime) -> str:
    """Return the instant as the text that the roll-up stores."""
    at = at if at.tzinfo is UTC else at.astimezone(UTC)
    return at.isoformat(" ", "microseconds")[: -len("+00:00")]


def instant(value: str) -> datetime:
    """Parse a stored instant. Raises `ValueError` if the text has another form."""
    if not _FORM.fullmatch(value):
        raise ValueError("no instant")
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


@lru_cache(maxsize=4096)
def _is_instant(value: str) -> bool:
    try:
        instant(value)
    except ValueError:
        return False
    return True


def _wrong_value(table: CountTable, values: tuple[Value, ...]) -> str:
    """Describe the first misspelled instant or negative number in the row. Return an empty text for a valid row."""
    for name, value in zip(table.columns, values, strict=True):
        if isinstance(value, int) and value < 0:
            return f"{name} is {value}"
        if name in _INSTANTS and isinstance(value, str) and not _is_instant(value):
            return f"{name} is {value[:40]!a}"
    return ""


def _sqlite(table: CountTable) -> str:
    values = ", ".join(map(_sqlite_value, table.columns))
    types = " || ',' || ".join(f"typeof({column})" for column in table.columns)
    return f"SELECT rowid, {types}, {values} FROM {table.name} NOT INDEXED"  # noqa: S608 - names from here


def _sqlite_value(column: str) -> str:
    # As bytes: the query would fail at a text that is not UTF-8.
    octets = f"CAST({column} AS BLOB)"
    # Without the condition, SQLite would return NULL for an empty text.
    short = f"CASE WHEN length({octets}) > {_LONGEST} THEN substr({octets}, 1, {_LONGEST + 1}) ELSE {octets} END"
    return f"CASE typeof({column}) WHEN 'integer' THEN {column} ELSE {short} END" if column in _NUMBERS else short


class _Sqlite:
    """Reads rows as SQLite stores them."""

    def __init__(self, table: CountTable) -> None:
        self._table = table
        allowed = [
            ("integer",) if name in _NUMBERS else ("text", "null") if name in _NULLABLE else ("text",)
            for name in table.columns
        ]
        self._types = frozenset(map(",".join, product(*allowed)))

    def row(self, row: Any) -> StoredRow:
        handle, types, *raw = row
        odd = "" if types in self._types else f"its types are {types}"
        values: list[Value] = []
        for name, value in zip(self._table.columns, raw, strict=True):
            if isinstance(value, bytes) and len(value) > _LONGEST:
                odd = odd or _too_long(name)
            try:
                values.append(value.decode() if isinstance(value, bytes) else value)
            except UnicodeDecodeError:
                values.append(value.decode("utf-8", "backslashreplace"))
                odd = odd or "a text is not UTF-8"
        if odd:
            return StoredRow(values=tuple(values), handle=handle, odd=odd)
        return StoredRow(values=tuple(values), handle=handle, odd=_wrong_value(self._table, tuple(values)))


def _postgresql(table: CountTable) -> str:
    values = ", ".join(map(_postgresql_value, table.columns))
    return f"SELECT CAST(ctid AS text), {values} FROM {table.name}"  # noqa: S608 - names from here


def _postgresql_value(column: str) -> str:
    its = f"CAST({column} AS text)"
    is_long = f"octet_length({its}) > {_LONGEST}"
    if column in _NUMBERS:
        return f"CASE WHEN {is_long} THEN NULL ELSE {column} END"
    if column in _INSTANTS:
        return f"CASE WHEN {is_long} THEN '' ELSE {its} END"
    # Texts as bytes: the query would fail at a text that is not UTF-8.
    return f"substr(textsend({its}), 1, {_LONGEST + 1})"


class _Postgresql:
    """Reads rows as PostgreSQL stores them. The owner of a table can change the type of a column."""

    def __init__(self, table: CountTable) -> None:
        self._table = table
        self._instants = [name in _INSTANTS for name in table.columns]

    def row(self, row: Any) -> StoredRow:
        handle, *raw = row
        values: tuple[Value, ...] = tuple(
            whole(value) if is_instant and isinstance(value, str) else _decoded(value)
            for value, is_instant in zip(map(_cut, raw), self._instants, strict=True)
        )
        if not all(map(_is_utf_8, values)):
            return StoredRow(values=tuple(map(_escaped, values)), handle=handle, odd="a text is not UTF-8")
        lacking = [
            name
            for name, value in zip(self._table.columns, values, strict=True)
            if value is None and name not in _NULLABLE
        ]
        odd = self._wrong_form(raw) or (f"{lacking[0]} is null" if lacking else _wrong_value(self._table, values))
        return StoredRow(values=values, handle=handle, odd=odd)

    def _wrong_form(self, raw: Sequence[Any]) -> str:
        """Describe the first value that is too long or of another type: the owner of a table can change types."""
        for name, value in zip(self._table.columns, raw, strict=True):
            if _is_long(value):
                return _too_long(name)
            if value is not None and (
                (name in _NUMBERS and not isinstance(value, int)) or (name in _INSTANTS and not isinstance(value, str))
            ):
                return f"{name} has another type"
        return ""


def _is_long(value: Any) -> bool:
    return isinstance(value, str | bytes) and len(value) > _LONGEST


def _cut(value: Any) -> Any:
    return value[: _LONGEST + 1] if _is_long(value) else value


def _too_long(column: str) -> str:
    return f"{column} has more than {_LONGEST:,} octets"


def _decoded(value: Any) -> Value:
    """Decode bytes as UTF-8. Bytes that are not UTF-8 become surrogates, as in copied rows."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if value is None or isinstance(value, str | int) else str(value)


def _is_utf_8(value: Value) -> bool:
    return not isinstance(value, str) or value.isascii() or not any("\ud800" <= each <= "\udfff" for each in value)


def _escaped(value: Value) -> Value:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def whole(value: str) -> str:
    """Pad `2026-11-25 12:00:00.5+00` to six decimals and remove `+00`. Return a text without `+00` unchanged."""
    if not value.endswith("+00"):
        return value
    seconds, _, fraction = value[: -len("+00")].partition(".")
    return f"{seconds}.{fraction:0<6}"
