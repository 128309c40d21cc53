"""Count the events again, and compare the results with the rows of the count tables.

The indexes and sums of the database are not trusted.
So events and rows are compared in a private scratch file, which SQLite removes.
Memory use is bounded, even with very many events.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import chain
from operator import itemgetter
from typing import Any, Final, Self

from sqlalchemy import Connection, Row, text

from authsec_server.audit.count_rows import (
    CLIENTS,
    DAILY,
    HOURLY,
    LAST,
    TABLES,
    CountTable,
    StoredRow,
    Value,
    instant,
    read_in_sequence,
    stored,
    stored_rows,
    whole,
)
from authsec_server.audit.counting import MOST_ENTRIES, Counts, Outcome
from authsec_server.audit.model import EventKind
from authsec_server.audit.scratch_database import enough_room, scratch_database
from authsec_server.db.matching import in_batches

MOST_ODD: Final = 1000  # odd rows of one table that are remembered one by one
_ROWS: Final = 5000  # that one statement reads or writes
_DECIDED: Final = {  # as bytes on SQLite: the query would fail at a text that is not UTF-8
    False: "SELECT id, CAST(at AS BLOB) AS at, CAST(kind AS BLOB) AS kind, CAST(reason AS BLOB) AS reason,"
    " CAST(client_id AS BLOB) AS client_id, CAST(delegations AS BLOB) AS delegations, CAST(roles AS BLOB) AS roles,"
    " CAST(detail AS BLOB) AS detail, occurrences FROM events NOT INDEXED WHERE decision IS NOT NULL",
    True: "SELECT id, CAST(at AS text) AS at, kind, reason, client_id, delegations, roles, detail, occurrences"
    " FROM events WHERE decision IS NOT NULL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CountDifference:
    """A difference between a count table and the events, for one key of the table.

    `say` contains the values from the events, or None if no event has this key.
    `kept` contains the values of the stored row, or None if there is no row.
    `rows` is the number of stored rows with this key. Rows of a wrong form (`StoredRow.odd`) are left out.
    """

    table: CountTable
    key: tuple[str, ...]
    say: tuple[Value, ...] | None
    kept: tuple[Value, ...] | None
    rows: int


class Recount:
    """Counts all events of the roll-up again, and compares the counts with the stored rows.

    These are the events numbered up to `through`, or dated before `until`.
    Raises `Unavailable` if the scratch file has no room.
    """

    def __init__(self, through: int, until: datetime) -> None:
        self._through = through
        self._until = until
        self.odd: dict[str, list[StoredRow]] = {table.name: [] for table in TABLES}
        self.more_odd: dict[str, int] = dict.fromkeys(self.odd, 0)
        self.digests: dict[str, str] = {}
        self._from = ""
        self._counts = Counts()
        with enough_room():
            self._scratch = scratch_database(*map(_create, TABLES))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.close()

    def add(self, number: int, outcome: Outcome) -> None:
        """Count the event if the roll-up has already counted it."""
        if number > self._through and outcome.at >= self._until:
            return
        counts = self._counts
        counts.add(outcome)
        if counts.size >= MOST_ENTRIES:
            self._spill()

    def compare(
        self,
        rows_of: Callable[[CountTable], Iterable[StoredRow]],
        unknown_before: datetime | None = None,
        *,
        digest_before: datetime | None = None,
    ) -> None:
        """Read the count tables for the comparison. Call this method after the last call of `add`.

        `rows_of` returns all rows of a table.
        Rows dated before `unknown_before` are not compared.
        Afterwards, `digests` has for each table the digest of the rows dated before `digest_before`.
        """
        self._spill()
        self._from = "" if unknown_before is None else stored(unknown_before)
        until = "" if digest_before is None else stored(digest_before)
        with enough_room():
            for table in TABLES:
                self.digests[table.name] = _digest(row for row in self._rows(table, rows_of(table)) if row.at < until)

    def differences(self, table: CountTable) -> Iterator[CountDifference]:
        """Yield the differences in this table, in the order of their keys."""
        size, values = len(table.key), len(table.values)
        for row in self._scratch.execute(_differing(table), (self._from,)):
            say, kept, number = row[size : size + values], row[size + values : -1], row[-1]
            yield CountDifference(
                table=table,
                key=row[:size],
                say=None if all(value is None for value in say) else say,
                kept=kept if number else None,
                rows=number,
            )

    def _rows(self, table: CountTable, rows: Iterable[StoredRow]) -> Iterator[StoredRow]:
        """Yield all rows of the table. Copy into the scratch file the rows that are to be compared."""
        put = _put(table)
        for some in in_batches(rows, _ROWS):
            fine = [row.values for row in some if not row.odd and row.at >= self._from]
            self._scratch.executemany(put, fine)
            self._remember_odd(table, [row for row in some if row.odd])
            yield from some

    def _remember_odd(self, table: CountTable, rows: list[StoredRow]) -> None:
        known = self.odd[table.name]
        room = MOST_ODD - len(known)
        known += rows[:room]
        self.more_odd[table.name] += len(rows[room:])

    def _spill(self) -> None:
        counts, self._counts = self._counts, Counts()
        self._say(HOURLY, ((_text(hour), kind, reason, n) for (hour, kind, reason), n in counts.hours.items()))
        self._say(
            CLIENTS,
            ((_text(hour), client, kind, reason, n) for (client, hour, kind, reason), n in counts.client_hours.items()),
        )
        self._say(DAILY, ((_text(day), subject, action, n) for (subject, day, action), n in counts.uses.items()))
        self._say(
            LAST,
            (
                (
                    _text(month),
                    subject,
                    _text(use.granted_at),
                    _text(use.refused_at),
                    use.refused_reason if use.refused_at else None,
                )
                for (subject, month), use in counts.last.items()
            ),
        )

    def _say(self, table: CountTable, rows: Iterable[tuple[Value, ...]]) -> None:
        # Sorted by time: rows of the same time are then close together in the file.
        with enough_room():
            self._scratch.executemany(_say(table), sorted(rows, key=itemgetter(*range(len(table.key)))))


def decided(connection: Connection) -> Iterator[tuple[int, Outcome]]:
    """Yield the number and the outcome of each event that has a decision, in one sequential pass.

    An unreadable event is left out, because the check of the seals reports the event.
    """
    on_postgresql = connection.dialect.name == "postgresql"
    if on_postgresql:
        read_in_sequence(connection)
    rows = connection.execute(text(_DECIDED[on_postgresql]).execution_options(yield_per=_ROWS))
    for row in rows:
        with suppress(ValueError, TypeError, KeyError, AttributeError):  # as the docstring says
            yield row.id, _outcome(row)


def _outcome(row: Row[Any]) -> Outcome:
    detail = _json(row.detail)
    client_id = row.client_id
    return Outcome(
        at=instant(whole(_decoded(row.at))),
        kind=EventKind(_decoded(row.kind)),
        reason=_decoded(row.reason),
        client_id=None if client_id is None else _decoded(client_id),
        under=tuple(each["id"] for each in _json(row.delegations) + _json(row.roles)),
        proof_id=detail.get("proof_id"),
        actions=tuple(detail.get("actions") or ()),
        occurrences=row.occurrences,
    )


def _decoded(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str | bytes) else value


def dropped_counts(connection: Connection, cut: datetime) -> Mapping[str, str]:
    """Return for each count table the SHA-256 of the rows dated before `cut`."""
    before = stored(cut)
    with enough_room():
        return {
            table.name: _digest(row for row in stored_rows(connection, table) if row.at < before) for table in TABLES
        }


def _digest(rows: Iterable[StoredRow]) -> str:
    """Return the SHA-256 of the rows, written as one JSON array on each line, with the lines sorted by bytes."""
    digest = sha256()
    with closing(scratch_database("CREATE TABLE lines (line TEXT NOT NULL)")) as scratch:
        for some in in_batches(rows, _ROWS):
            scratch.executemany("INSERT INTO lines VALUES (?)", ((_line(row),) for row in some))
        for (line,) in scratch.execute("SELECT line FROM lines ORDER BY line"):
            digest.update(line.encode("ascii") + b"\n")
    return digest.hexdigest()


def _line(row: StoredRow) -> str:
    values: list[Any] = list(chain(map(_jsonable, row.values), [{"odd": row.odd}] if row.odd else []))
    return json.dumps(values, separators=(",", ":"))


def _jsonable(value: object) -> object:
    return value if isinstance(value, str | int | None) else repr(value)


def _text(at: datetime | None) -> str | None:
    return None if at is None else stored(at)


def _create(table: CountTable) -> str:
    keys = ", ".join(f"{name} TEXT NOT NULL" for name in table.key)
    values = ", ".join(f"{side}_{name}" for side in ("say", "kept") for name in table.values)
    key = ", ".join(table.key)
    return (
        f"CREATE TABLE {table.name} ({keys}, {values}, number INTEGER NOT NULL DEFAULT 0, PRIMARY KEY ({key}))"
        " WITHOUT ROWID"
    )


def _say(table: CountTable) -> str:
    """Return the SQL that adds a count from events to the scratch table."""
    return f"{_insert(table, 'say')} DO UPDATE SET {_LATER if table is LAST else _sum(table)}"


def _put(table: CountTable) -> str:
    """Return the SQL that copies a row of the count table into the scratch table."""
    kept = ", ".join(f"kept_{name} = excluded.kept_{name}" for name in table.values)
    return f"{_insert(table, 'kept', number=True)} DO UPDATE SET {kept}, number = number + 1"


def _insert(table: CountTable, side: str, *, number: bool = False) -> str:
    columns = [*table.key, *(f"{side}_{name}" for name in table.values)]
    values = ["?"] * len(columns)
    if number:
        columns, values = [*columns, "number"], [*values, "1"]
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join(values)})"  # noqa: S608 - names from here
        f" ON CONFLICT ({', '.join(table.key)})"
    )


def _sum(table: CountTable) -> str:
    (name,) = table.values
    return f"say_{name} = coalesce(say_{name}, 0) + excluded.say_{name}"


_REFUSED_LATER: Final = (
    "CASE WHEN say_refused_at IS NULL"
    " OR (excluded.say_refused_at, excluded.say_refused_reason) > (say_refused_at, say_refused_reason)"
)
_LATER: Final = (  # as `LastUse.and_later`
    "say_granted_at = coalesce(max(say_granted_at, excluded.say_granted_at), say_granted_at, excluded.say_granted_at)"
    f", say_refused_at = {_REFUSED_LATER} THEN excluded.say_refused_at ELSE say_refused_at END"
    f", say_refused_reason = {_REFUSED_LATER} THEN excluded.say_refused_reason ELSE say_refused_reason END"
)


def _differing(table: CountTable) -> str:
    columns = [*table.key, *(f"{side}_{name}" for side in ("say", "kept") for name in table.values), "number"]
    said = " OR ".join(f"say_{name} IS NOT NULL" for name in table.values)
    other = " OR ".join(f"say_{name} IS NOT kept_{name}" for name in table.values)
    return (
        f"SELECT {', '.join(columns)} FROM {table.name}"  # noqa: S608 - names from here
        f" WHERE {table.key[0]} >= ? AND (number != ({said}) OR {other}) ORDER BY {', '.join(table.key)}"
    )
