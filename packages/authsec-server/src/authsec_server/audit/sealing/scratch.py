"""A private copy of the audit log's tables, so that a check can read the rows again in another order.

Ten million events need about nine gigabytes in the temporary folder.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple, Self

from authsec_server.audit.model import EventKind
from authsec_server.audit.number_ranges import Range
from authsec_server.audit.scratch_database import scratch_database

LISTED = (  # columns of `events` by which readers filter or count events
    *("at", "kind", "request_id", "principal_kind", "principal_id", "client_id", "subject_id", "decision", "reason"),
    *("address", "jti", "kid", "expires_at", "occurrences"),
)
_TABLES = (
    "CREATE TABLE leaf (position INTEGER PRIMARY KEY, number INTEGER, hash BLOB, copies INTEGER NOT NULL DEFAULT 1)",
    "CREATE TABLE event"
    " (number INTEGER PRIMARY KEY, leaf BLOB, at TEXT, stays INTEGER, in_range INTEGER, valid INTEGER,"
    " of_server INTEGER, copies INTEGER NOT NULL DEFAULT 1)",
    f"CREATE TABLE value (number INTEGER PRIMARY KEY, {', '.join(LISTED)}, proof_id, trusted_issuer_id)",
    "CREATE TABLE subject_change (kind TEXT, id TEXT, number INTEGER, done TEXT, version INTEGER)",
    "CREATE TABLE final_end (kind TEXT, id TEXT, number INTEGER, done TEXT, version INTEGER, PRIMARY KEY (id, kind))",
    "CREATE TABLE written (name TEXT, version INTEGER, last INTEGER, PRIMARY KEY (name, version)) WITHOUT ROWID",
    "CREATE TABLE delegation_act (id TEXT, number INTEGER, version INTEGER)",
    "CREATE TABLE token_role (number INTEGER, role TEXT)",
    "CREATE TABLE party (delegation TEXT, client TEXT, role TEXT, lowest INTEGER, highest INTEGER, is_proof INTEGER,"
    " PRIMARY KEY (delegation, client, role)) WITHOUT ROWID",
    "CREATE TABLE row_state (kind TEXT, id TEXT, is_disabled INTEGER, is_revoked INTEGER, PRIMARY KEY (kind, id))"
    " WITHOUT ROWID",
    "CREATE TABLE named (number INTEGER, delegation BLOB)",
    "CREATE TABLE listed (number INTEGER, delegation BLOB)",
    "CREATE TABLE record (number INTEGER PRIMARY KEY, kind TEXT, signed TEXT)",
    "CREATE TABLE range (hour TEXT PRIMARY KEY, lowest INTEGER, highest INTEGER, copies INTEGER NOT NULL DEFAULT 1)",
    "CREATE TABLE checkpoint (size INTEGER, at TEXT, signed TEXT)",
)
_KEEP_VALUES = f"INSERT OR IGNORE INTO value VALUES (?{', ?' * len(LISTED)}, ?, ?)"  # noqa: S608 - a copy is left out
_KEEP_CHANGE = "INSERT INTO subject_change VALUES (?, ?, ?, ?, ?)"
_KEEP_FINAL = (
    "INSERT INTO final_end VALUES (?, ?, ?, ?, ?) ON CONFLICT (id, kind) DO UPDATE SET number = excluded.number,"
    " done = excluded.done, version = excluded.version WHERE excluded.number < number"
)
_KEEP_WRITTEN = (
    "INSERT INTO written VALUES (?, ?, ?) ON CONFLICT (name, version) DO UPDATE SET last = max(last, excluded.last)"
)
_KEEP_STATE = (
    "INSERT INTO row_state VALUES (?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET"
    " is_disabled = min(is_disabled, excluded.is_disabled), is_revoked = min(is_revoked, excluded.is_revoked)"
)
_listed = itemgetter(*LISTED)
_PAIRS = (
    "SELECT p.number, p.delegation FROM {} p WHERE EXISTS"
    " (SELECT 1 FROM event e JOIN leaf l ON l.number = e.number AND l.hash = e.leaf WHERE e.number = p.number)"
)


@dataclass(frozen=True, slots=True)
class ScratchLeaf:
    """A leaf of the sealed log, and the event with the leaf's event number.

    - `position`, `number`, `hash` and `leaf_copies` describe the leaf.
    - `copies` is the number of events with this number, 0 if there is none.
    - `leaf` is the current hash of the event, and `at` is its time. Both are None if the event is unreadable.
    - `stays`: no drop removes the event.
    - `in_range`: the event number is within the stored number range of its hour.
    - `valid`: AuthSec could have written the event.
    - `record` is the drop record in the event's detail.
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


class SubjectChange(NamedTuple):
    """A change of a subject of tokens, or of a principal.

    `done` says what event `number` did, such as `disabled`. Only what was disabled can be enabled again: each other end
    is final.
    """

    kind: str
    id: str
    number: int
    done: str
    version: int


class ThingState(NamedTuple):
    """Whether the row of a thing is disabled, and whether it is revoked."""

    kind: str
    id: str
    is_disabled: bool
    is_revoked: bool


class Parties(NamedTuple):
    """The agent and the role of a delegation in the event `number`. `number` is 0 for the table of delegations.

    If `is_proof` is true, the record shows that somebody created the delegation. An event does not show this by itself.
    """

    delegation: str
    client: str
    role: str
    number: int
    is_proof: bool


class Scratch:
    """The copied rows of an audit log, which can be read in another order."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._ranges: dict[datetime, Range | None] = {}

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Self]:
        """Open an empty scratch database, within this context."""
        with closing(scratch_database(*_TABLES)) as database:
            yield cls(database)

    def keep_leaves(self, leaves: Iterable[tuple[int, int, bytes]]) -> None:
        """Store the position, event number and hash of each leaf."""
        self._write(
            "INSERT INTO leaf (position, number, hash) VALUES (?, ?, ?)"
            " ON CONFLICT (position) DO UPDATE SET copies = copies + 1",
            leaves,
        )
        self._database.execute("CREATE INDEX leaf_number ON leaf (number, hash)")
        self._database.execute("CREATE INDEX leaf_place ON leaf (number, position)")

    def keep_events(self, events: Iterable[tuple[int, bytes | None, str | None, bool, bool, bool, bool]]) -> None:
        """Store each event: its number, its leaf hash, its time and four flags.

        The flags are, in this order:

        - No drop removes the event.
        - The event number is within the stored number range of its hour.
        - The event is valid.
        - Only a server can have written the event.
        """
        self._write(
            "INSERT INTO event (number, leaf, at, stays, in_range, valid, of_server) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (number) DO UPDATE SET copies = copies + 1",
            events,
        )

    def keep_values(self, number: int, row: Mapping[str, Any]) -> None:
        """Store the values of the columns `LISTED` from the row of a valid event.

        Of a token, store its proof and its roles, too.
        """
        proof: tuple[str | None, str | None] = (None, None)
        if row["kind"] == EventKind.TOKEN_ISSUED:
            issuer = row["detail"].get("trusted_issuer")
            proof = row["detail"].get("proof_id"), issuer and issuer["id"]
            roles = ((number, each["id"]) for each in row["roles"])
            self._write("INSERT INTO token_role VALUES (?, ?)", roles)
        self._database.execute(_KEEP_VALUES, (number, *_listed(row), *proof))

    def keep_subject_changes(self, changes: Iterable[SubjectChange]) -> None:
        """Store changes of subjects of tokens, and of principals. Of the final ends of a subject, store the first."""
        for change in changes:
            is_final = change.done not in {"disabled", "enabled"}
            self._database.execute(_KEEP_FINAL if is_final else _KEEP_CHANGE, change)

    def keep_written(self, written: Iterable[tuple[str, int, int]]) -> None:
        """Store the tables that changes wrote to, each with the authority version and the event number.

        Of each change, store the last event.
        """
        self._write(_KEEP_WRITTEN, written)

    def keep_delegation_acts(self, acts: Iterable[tuple[str, int, int]]) -> None:
        """Store changes of a delegation: its id, the number of the event, and the authority version."""
        self._write("INSERT INTO delegation_act VALUES (?, ?, ?)", acts)

    def delete(self, table: str, condition: str, parameters: Mapping[str, object]) -> None:
        """Delete the rows of a table that match the condition."""
        self._database.execute(f"DELETE FROM {table} WHERE {condition}", parameters)  # noqa: S608 - of constants

    def keep_parties(self, parties: Iterable[Parties]) -> None:
        """Store agents and roles of delegations. Equal ones are one row, with the lowest and the highest number."""
        self._write(
            "INSERT INTO party VALUES (?1, ?2, ?3, ?4, ?4, ?5) ON CONFLICT (delegation, client, role) DO UPDATE SET"
            " lowest = min(lowest, ?4), highest = max(highest, ?4), is_proof = max(is_proof, ?5)",
            parties,
        )

    def keep_row_states(self, states: Iterable[ThingState]) -> None:
        """Store the states of rows of other tables. Of several rows with one id, the live one decides."""
        self._write(_KEEP_STATE, states)

    def keep_named(self, pairs: Iterable[tuple[int, bytes]]) -> None:
        """Store pairs of an event number and a delegation that the event names."""
        self._write("INSERT INTO named VALUES (?, ?)", pairs)

    def keep_listed(self, pairs: Iterable[tuple[int, bytes]]) -> None:
        """Store pairs of an event number and a delegation under which the event is listed (`event_delegations`)."""
        self._write("INSERT INTO listed VALUES (?, ?)", pairs)

    def keep_record(self, number: int, kind: str, signed: str) -> None:
        """Store the signed record in the event with this number and kind."""
        self._database.execute("INSERT OR IGNORE INTO record VALUES (?, ?, ?)", (number, kind, signed))

    def keep_ranges(self, ranges: Iterable[tuple[str, int, int]]) -> None:
        """Store each number range: the hour (ISO 8601), the lowest number and the highest number."""
        self._write(
            "INSERT INTO range (hour, lowest, highest) VALUES (?, ?, ?)"
            " ON CONFLICT (hour) DO UPDATE SET copies = copies + 1",
            ranges,
        )

    def keep_checkpoints(self, checkpoints: Iterable[tuple[int, str | None, str]]) -> None:
        """Store the size, time and signed text of each checkpoint."""
        self._write("INSERT INTO checkpoint VALUES (?, ?, ?)", checkpoints)

    def create_index(self, name: str, columns: str) -> None:
        """Create an index if it is missing. It makes later calls of `query` fast."""
        self._database.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")

    def query(self, statement: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[Any]:
        """Return all rows of the query. The caller bounds their number."""
        return self._database.execute(statement, parameters).fetchall()

    def each(self, statement: str, parameters: Mapping[str, object]) -> Iterator[Any]:
        """Yield the rows of the query."""
        yield from self._database.execute(statement, parameters)

    def joined_leaves(self) -> Iterator[ScratchLeaf]:
        """Yield each leaf with its event, in the order of sealing."""
        for row in self._database.execute(
            "SELECT l.position, l.number, l.hash, l.copies, e.leaf, e.at, e.stays, e.in_range, e.valid,"
            " coalesce(e.copies, 0), r.signed FROM leaf l LEFT JOIN event e ON e.number = l.number"
            " LEFT JOIN record r ON r.number = l.number AND r.kind = 'events.dropped' ORDER BY l.position"
        ):
            yield ScratchLeaf(*row)

    def checkpoints(self) -> Iterator[tuple[int, str | None, str]]:
        """Yield the size, time and signed text of each checkpoint, smallest first."""
        yield from self._database.execute("SELECT size, at, signed FROM checkpoint ORDER BY size, at")

    def size(self) -> int:
        """Return the number of leaves."""
        number: int = self._database.execute("SELECT count(*) FROM leaf").fetchone()[0]
        return number

    def is_sealed(self, number: int) -> bool:
        """Whether a leaf exists for the event with this number."""
        return self.place_of(number) is not None

    def place_of(self, number: int) -> int | None:
        """Return the first place in the sealed log of the event with this number; None without a seal.

        The attack: raw SQL inserts very many seals with one number. Without an index in the order of the places, each
        look-up would sort all these seals.
        """
        statement = "SELECT position FROM leaf INDEXED BY leaf_place WHERE number = ? ORDER BY position LIMIT 1"
        row = self._database.execute(statement, (number,)).fetchone()
        return None if row is None else row[0]

    def range_of(self, hour: datetime) -> Range | None:
        """Return the lowest and the highest event number of the hour. Only the last requested hour is cached."""
        if hour not in self._ranges:
            self._ranges.clear()
            self._ranges[hour] = self._database.execute(
                "SELECT lowest, highest FROM range WHERE hour = ?", (hour.isoformat(timespec="microseconds"),)
            ).fetchone()
        return self._ranges[hour]

    def records(self, kind: str) -> Iterator[tuple[int | None, str]]:
        """Yield the place and the signed record of each event of this kind, in the order of sealing.

        Events that are not sealed come last, with None as their place.
        """
        yield from self._database.execute(
            "SELECT l.position, r.signed FROM record r LEFT JOIN leaf l ON l.number = r.number WHERE r.kind = ?"
            " ORDER BY l.position IS NULL, l.position",
            (kind,),
        )

    def sealed_twice(self) -> Iterator[int]:
        """Yield the numbers of events with more than one leaf."""
        for (number,) in self._database.execute("SELECT number FROM leaf GROUP BY number HAVING count(*) > 1"):
            yield number

    def not_sealed(self) -> Iterator[tuple[int, str | None, int]]:
        """Yield each event without a leaf: its number, its time, and whether only a server can have written it.

        Events come in the order of their numbers. A time is ISO 8601, or None if the event is unreadable.
        """
        yield from self._database.execute(
            "SELECT number, at, of_server FROM event e"
            " WHERE NOT EXISTS (SELECT 1 FROM leaf l WHERE l.number = e.number) ORDER BY number"
        )

    def unsealed_copies(self) -> Iterator[tuple[int, int]]:
        """Yield the number of each event without a leaf that occurs several times, and how often it occurs."""
        yield from self._database.execute(
            "SELECT number, copies FROM event e WHERE copies > 1"
            " AND NOT EXISTS (SELECT 1 FROM leaf l WHERE l.number = e.number) ORDER BY number"
        )

    def invalid_and_not_sealed(self) -> Iterator[int]:
        """Yield the numbers of invalid events without a leaf."""
        for (number,) in self._database.execute(
            "SELECT number FROM event e WHERE NOT valid"
            " AND NOT EXISTS (SELECT 1 FROM leaf l WHERE l.number = e.number) ORDER BY number"
        ):
            yield number

    def not_listed(self) -> Iterator[tuple[int, bytes]]:
        """Yield pairs of an event number and a delegation. The event names the delegation, which does not list it.

        Only events that match their seals are included.
        """
        yield from self._database.execute(f"{_PAIRS.format('named')} EXCEPT {_PAIRS.format('listed')} ORDER BY 1")

    def listed_wrongly(self) -> Iterator[tuple[int, bytes]]:
        """Yield pairs of an event number and a delegation that lists the event but is not named in the event.

        Only events that match their seals are included.
        """
        yield from self._database.execute(f"{_PAIRS.format('listed')} EXCEPT {_PAIRS.format('named')} ORDER BY 1")

    def listed_without_event(self) -> Iterator[tuple[int, bytes]]:
        """Yield each event number that a delegation lists, with the delegation, if no event and no seal has it."""
        yield from self._database.execute(
            "SELECT DISTINCT p.number, p.delegation FROM listed p"
            " WHERE NOT EXISTS (SELECT 1 FROM event e WHERE e.number = p.number)"
            " AND NOT EXISTS (SELECT 1 FROM leaf l WHERE l.number = p.number) ORDER BY 1"
        )

    def highest_sealed(self) -> int:
        """Return the highest event number of a leaf; 0 without leaves."""
        number: int = self._database.execute("SELECT coalesce(max(number), 0) FROM leaf").fetchone()[0]
        return number

    def highest_event(self, at_most: int) -> int:
        """Return the highest event number up to `at_most`; 0 if there is none."""
        statement = "SELECT coalesce(max(number), 0) FROM event WHERE number <= ?"
        number: int = self._database.execute(statement, (at_most,)).fetchone()[0]
        return number

    def not_sealed_above(self, number: int) -> Iterator[int]:
        """Yield the numbers of valid events above this number that have no leaf."""
        for (each,) in self._database.execute(
            "SELECT number FROM event e WHERE number > ? AND valid"
            " AND NOT EXISTS (SELECT 1 FROM leaf l WHERE l.number = e.number) ORDER BY number",
            (number,),
        ):
            yield each

    def listed_again(self) -> Iterator[tuple[int, bytes, int]]:
        """Yield an event number, a delegation, and how many rows list the event there, if there are several."""
        yield from self._database.execute(
            "SELECT number, delegation, count(*) FROM listed GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1"
        )

    def copies(self) -> Iterator[tuple[str, str, int]]:
        """Yield each hour and each checkpoint with several rows, as the table, the key and the number of rows."""
        yield from self._database.execute(
            "SELECT 'number_ranges', hour, copies FROM range WHERE copies > 1 UNION ALL"
            " SELECT 'checkpoints', size, count(*) FROM checkpoint GROUP BY size, at HAVING count(*) > 1"
        )

    def _write(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._database.executemany(statement, rows)
