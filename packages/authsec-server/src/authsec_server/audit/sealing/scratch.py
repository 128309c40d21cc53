"""The rows of the audit log's tables, kept in a scratch database to be read again in another order.

Ten million events take some two gigabytes of the temporary folder.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from authsec_server.audit.number_ranges import Range
from authsec_server.audit.scratch_database import scratch_database

_TABLES = (
    "CREATE TABLE leaf (position INTEGER PRIMARY KEY, number INTEGER, hash BLOB, copies INTEGER NOT NULL DEFAULT 1)",
    "CREATE TABLE event"
    " (number INTEGER PRIMARY KEY, leaf BLOB, at TEXT, stays INTEGER, in_range INTEGER, valid INTEGER,"
    " of_server INTEGER, copies INTEGER NOT NULL DEFAULT 1)",
    "CREATE TABLE named (number INTEGER, delegation BLOB)",
    "CREATE TABLE listed (number INTEGER, delegation BLOB)",
    "CREATE TABLE record (number INTEGER PRIMARY KEY, kind TEXT, signed TEXT)",
    "CREATE TABLE range (hour TEXT PRIMARY KEY, lowest INTEGER, highest INTEGER)",
    "CREATE TABLE head (size INTEGER, at TEXT, signed TEXT)",
)
_PAIRS = (
    "SELECT p.number, p.delegation FROM {} p WHERE EXISTS"
    " (SELECT 1 FROM event e JOIN leaf l ON l.number = e.number AND l.hash = e.leaf WHERE e.number = p.number)"
)


@dataclass(frozen=True, slots=True)
class Met:
    """A leaf with the event of its number; `copies` is 0 where there is none, `leaf` None where it cannot be read.

    `at` is the time of the event; None where it cannot be read. `stays`: no drop takes it. `in_range`: its number is
    within those of its hour. `valid`: a program of ours could have written it. `record` is one of dropped events.
    """

    position: int
    number: int
    hash: bytes
    leaf_copies: int
    leaf: bytes | None
    at: str | None
    stays: int
    in_range: int
    valid: int
    copies: int
    record: str | None


class Scratch:
    """What was read of an audit log, to be read again in another order."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._ranges: dict[datetime, Range | None] = {}

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Self]:
        """An empty one, for as long as this is open."""
        with closing(scratch_database(*_TABLES)) as database:
            yield cls(database)

    def keep_leaves(self, leaves: Iterable[tuple[int, int, bytes]]) -> None:
        """Position, event number and hash of each."""
        self._write(
            "INSERT INTO leaf (position, number, hash) VALUES (?, ?, ?)"
            " ON CONFLICT (position) DO UPDATE SET copies = copies + 1",
            leaves,
        )
        self._database.execute("CREATE INDEX leaf_number ON leaf (number, hash)")

    def keep_events(self, events: Iterable[tuple[int, bytes | None, str | None, bool, bool, bool, bool]]) -> None:
        """Number, leaf hash and time of each; whether no drop takes it; whether its number is within those of its hour.

        And whether it is valid, and whether only a server can have written it.
        """
        self._write(
            "INSERT INTO event (number, leaf, at, stays, in_range, valid, of_server) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (number) DO UPDATE SET copies = copies + 1",
            events,
        )

    def keep_named(self, pairs: Iterable[tuple[int, bytes]]) -> None:
        """The delegations that events name."""
        self._write("INSERT INTO named VALUES (?, ?)", pairs)

    def keep_listed(self, pairs: Iterable[tuple[int, bytes]]) -> None:
        """The delegations that events are listed under."""
        self._write("INSERT INTO listed VALUES (?, ?)", pairs)

    def keep_record(self, number: int, kind: str, signed: str) -> None:
        """A signed record that an event of this kind carries."""
        self._database.execute("INSERT OR IGNORE INTO record VALUES (?, ?, ?)", (number, kind, signed))

    def keep_ranges(self, ranges: Iterable[tuple[str, int, int]]) -> None:
        """Hour (ISO 8601), lowest and highest number of each."""
        self._write("INSERT OR REPLACE INTO range VALUES (?, ?, ?)", ranges)

    def keep_heads(self, heads: Iterable[tuple[int, str | None, str]]) -> None:
        """Size, time and signed text of each."""
        self._write("INSERT INTO head VALUES (?, ?, ?)", heads)

    def met(self) -> Iterator[Met]:
        """Each leaf with its event, in the order of sealing."""
        for row in self._database.execute(
            "SELECT l.position, l.number, l.hash, l.copies, e.leaf, e.at, e.stays, e.in_range, e.valid,"
            " coalesce(e.copies, 0), r.signed FROM leaf l LEFT JOIN event e ON e.number = l.number"
            " LEFT JOIN record r ON r.number = l.number AND r.kind = 'events.dropped' ORDER BY l.position"
        ):
            yield Met(*row)

    def heads(self) -> Iterator[tuple[int, str | None, str]]:
        """Size, time and signed text of each head, the smallest first."""
        yield from self._database.execute("SELECT size, at, signed FROM head ORDER BY size, at")

    def size(self) -> int:
        """How many leaves there are."""
        number: int = self._database.execute("SELECT count(*) FROM leaf").fetchone()[0]
        return number

    def is_sealed(self, number: int) -> bool:
        """Whether a leaf is of the event with this number."""
        return self.place_of(number) is not None

    def place_of(self, number: int) -> int | None:
        """The place in the log of the event with this number: the first one; None where it has no seal."""
        statement = "SELECT position FROM leaf WHERE number = ? ORDER BY position LIMIT 1"
        row = self._database.execute(statement, (number,)).fetchone()
        return None if row is None else row[0]

    def range_of(self, hour: datetime) -> Range | None:
        """The lowest and the highest number of that hour. Events of one hour come together: its range is kept."""
        if hour not in self._ranges:
            self._ranges.clear()
            self._ranges[hour] = self._database.execute(
                "SELECT lowest, highest FROM range WHERE hour = ?", (hour.isoformat(timespec="microseconds"),)
            ).fetchone()
        return self._ranges[hour]

    def records(self, kind: str) -> Iterator[tuple[int | None, str]]:
        """The place in the log and the signed record of each event of this kind, in the order of sealing.

        The place is None, and comes last, where the event is not sealed.
        """
        yield from self._database.execute(
            "SELECT l.position, r.signed FROM record r LEFT JOIN leaf l ON l.number = r.number WHERE r.kind = ?"
            " ORDER BY l.position IS NULL, l.position",
            (kind,),
        )

    def sealed_twice(self) -> Iterator[int]:
        """The numbers of events that more than one leaf is of."""
        for (number,) in self._database.execute("SELECT number FROM leaf GROUP BY number HAVING count(*) > 1"):
            yield number

    def not_sealed(self) -> Iterator[tuple[int, str | None, int]]:
        """The numbers of events that no leaf is of, in order, with times as of `Met`; whether a server wrote each."""
        yield from self._database.execute(
            "SELECT number, at, of_server FROM event e"
            " WHERE NOT EXISTS (SELECT 1 FROM leaf l WHERE l.number = e.number) ORDER BY number"
        )

    def invalid_and_not_sealed(self) -> Iterator[int]:
        """The numbers of events that are not valid, and that no leaf is of."""
        for (number,) in self._database.execute(
            "SELECT number FROM event e WHERE NOT valid"
            " AND NOT EXISTS (SELECT 1 FROM leaf l WHERE l.number = e.number) ORDER BY number"
        ):
            yield number

    def not_listed(self) -> Iterator[tuple[int, bytes]]:
        """Events that are as they were sealed, and delegations that they name but are not listed under."""
        yield from self._database.execute(f"{_PAIRS.format('named')} EXCEPT {_PAIRS.format('listed')} ORDER BY 1")

    def listed_wrongly(self) -> Iterator[tuple[int, bytes]]:
        """Events that are as they were sealed, and delegations that they are listed under but do not name."""
        yield from self._database.execute(f"{_PAIRS.format('listed')} EXCEPT {_PAIRS.format('named')} ORDER BY 1")

    def _write(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._database.executemany(statement, rows)
