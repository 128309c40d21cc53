"""Read each table of the audit log once, from its first row to its last, exactly as it is stored.

Raw SQL can forge the indexes and statistics of the database.
So PostgreSQL copies its tables (`db.table_copy`), and a query on SQLite has no condition, order or aggregate.
Values are not converted when they are read, because a value that AuthSec never writes must not stop the scan.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Inspector,
    LargeBinary,
    Select,
    String,
    Table,
    TableClause,
    Text,
    column,
    inspect,
    literal_column,
    select,
    table,
    text,
)

from authsec_server.audit.count_rows import CountTable, StoredRow, copied_rows, stored_rows
from authsec_server.audit.event_macs import MAC_BYTES, event_mac, is_mac
from authsec_server.audit.event_shape import MAX_NAME
from authsec_server.audit.merkle_tree import COVERED, event_text, text_hash
from authsec_server.audit.store import checkpoints, event_delegations, events, number_ranges, sealed_events
from authsec_server.db.schema import LONGEST_JSON, CanonicalJson, Instant, NotCanonical, authority, read_canonical_json
from authsec_server.db.sqlite_reading import any_text, rows_without_rowid
from authsec_server.db.table_digests import Digested, has_long, stored

if TYPE_CHECKING:
    from authsec_server.db.table_copy import TableCopies

ROWS: Final = 2000  # read together
_WIDE_ROWS: Final = 100  # events read together: each may have three JSON texts of a megabyte
_LONGEST_ROWS: Final = 2  # of a table with a digest, read together: each may have 12 texts of 2 MB
_LONGEST: Final = 4 * MAX_NAME  # octets of a text; no server writes a longer one
_JSON: Final = frozenset({"delegations", "roles", "detail"})
_INSTANTS: Final = frozenset({"at", "expires_at"})
_INDEX_SCANS: Final = ("indexscan", "indexonlyscan", "bitmapscan")
REVOCATIONS: Final = table(  # of a package above this one
    "revocations",
    *(column(name, BigInteger()) for name in ("sequence", "version")),
    *(column(name, Text()) for name in ("subject_kind", "subject_id")),
    column("at", Instant()),
)
_POSTGRESQL_INSTANT: Final = re.compile(r"([0-9-]{10}) ([0-9:]{8})(?:\.([0-9]{1,6}))?\+00", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedEvent:
    """One row of `events`. `row` and `leaf` are None if the row has a form that AuthSec does not write.

    `mac` is the stored MAC.
    """

    number: int
    leaf: bytes | None
    row: Mapping[str, Any] | None
    mac: Any

    @property
    def at(self) -> datetime:
        """Return the event's time. Call it only if `row` is not None."""
        assert self.row is not None
        return datetime.fromisoformat(self.row["at"])

    @property
    def delegation_ids(self) -> frozenset[str]:
        """Return the ids of the delegations that the event names."""
        return frozenset(str(each["id"]) for each in self.row["delegations"]) if self.row else frozenset()


class Scan:
    """Reads the tables of one connection, within the transaction of that connection."""

    def __init__(self, connection: Connection, event_key: bytes | None = None) -> None:
        self._connection = connection
        self._event_key = event_key
        self._postgresql = connection.dialect.name == "postgresql"
        self._copies = _copies_of(connection) if self._postgresql else None
        self.too_long: set[str] = set()  # tables with a value that `digested` found too long

    @contextmanager
    def sequential(self) -> Iterator[None]:
        """Read tables without their indexes within this context. SQLite text that is not UTF-8 raises no error."""
        if self._postgresql:
            self._connection.execute(text("SET LOCAL enable_seqscan = on"))
            for way in _INDEX_SCANS:
                self._connection.execute(text(f"SET LOCAL enable_{way} = off"))
            yield
            return
        with any_text(self._connection):
            yield

    def events(self) -> Iterator[ScannedEvent]:
        """Yield all events."""
        for mac, *row in self._rows(events, "mac", *COVERED):
            yield self._event(dict(zip(COVERED, row, strict=True)), mac)

    @staticmethod
    def has_form(event: ScannedEvent) -> bool:
        """Whether the MAC is a MAC, or missing. The attack: a long one takes the room that readers have for rows."""
        return event.mac is None or (isinstance(event.mac, bytes) and len(event.mac) == MAC_BYTES)

    def may_be_genuine(self, event: ScannedEvent) -> bool:
        """Whether the event has a MAC by the key of this database. Without the key, each event may be genuine."""
        key, row = self._event_key, event.row
        return row is not None and (key is None or is_mac(event.mac, event_mac(key, row)))

    def leaves(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yield the position, event number and hash of each leaf."""
        yield from map(tuple, self._rows(sealed_events, "position", "event_id", "hash"))

    def checkpoints(self) -> Iterator[tuple[Any, str | None, Any]]:
        """Yield the size, the time (ISO 8601; None if invalid) and the signed text of each checkpoint."""
        for size, at, signed in self._rows(checkpoints, "size", "at", "signed"):
            yield size, self.instant(at), signed

    def delegations(self) -> Iterator[tuple[Any, Any]]:
        """Yield the event number and the delegation of each row of `event_delegations`."""
        yield from map(tuple, self._rows(event_delegations, "event_id", "delegation_id"))

    def ranges(self) -> Iterator[tuple[str | None, Any, Any]]:
        """Yield the hour, the lowest and the highest number of each row of `number_ranges`."""
        for hour, lowest, highest in self._rows(number_ranges, "hour", "lowest", "highest"):
            yield self.instant(hour), lowest, highest

    def ends(self) -> Iterator[tuple[Any, Any, Any, Any, str | None]]:
        """Yield the number, subject kind, subject id, version and time of each row of `revocations`."""
        names = ("sequence", "subject_kind", "subject_id", "version", "at")
        for sequence, kind, id_, version, at in self._rows(REVOCATIONS, *names):
            yield sequence, kind, id_, version, self.instant(at)

    def counts(self, counted: CountTable) -> Iterator[StoredRow]:
        """Return all rows of a count table."""
        if self._copies and self._copies.can_read(counted.name, counted.columns):
            return copied_rows(counted, _converted(self._copies, counted.name, counted.columns))
        return stored_rows(self._connection, counted)

    def authorities(self) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Yield the version, the issuer, the issuer's MAC and the master key's id of each row of `authority`."""
        yield from map(tuple, self._rows(authority, "version", "issuer", "issuer_mac", "master_key_id"))

    def rows(self, name: str, *columns: str) -> Iterator[Sequence[Any]]:
        """Yield these columns of each row of a table that belongs to a package above this one.

        On PostgreSQL, None may mean that a value is longer than a server writes.
        """
        yield from self._rows(table(name, *map(column, columns)), *columns)

    def instants(self, name: str, key: str, instant: str) -> Iterator[tuple[Any, str | None]]:
        """Yield a key and an instant (ISO 8601) of each row of a table that belongs to a package above.

        None means NULL; the empty text means that the value is not an instant.
        """
        for id_, at in self._rows(table(name, column(key), column(instant, Instant())), key, instant):
            yield id_, None if at is None else self.instant(at) or ""

    def digested(self, name: str, digested: Digested) -> Iterator[Mapping[str, Any]]:
        """Yield each row of the table with the columns that go into the table's digest.

        The table belongs to a package above this one.
        """
        # No statement can contain a name that is not UTF-8. The schema comparison reports such a name.
        names = [each for each in self.columns(name) if each not in digested.without and each.isprintable()]
        if self._copies and self._copies.can_read(name, names):
            for texts in self._copies.rows(name, names):
                yield dict(zip(names, texts, strict=True))
            return
        statement = _all_stored(self._connection.dialect.name, name, tuple(names))
        for *row, too_long in self._connection.execute(statement):
            if too_long:
                self.too_long.add(name)
            yield dict(zip(names, row, strict=True))

    @property
    def cut_short(self) -> Sequence[str]:
        """Return the tables read so far in which PostgreSQL shows only the beginning of a text."""
        return sorted(self._copies.cut_short) if self._copies else []

    def columns(self, name: str) -> Sequence[str]:
        """Return the names of the table's columns; none if the table is missing."""
        if self._copies:
            return [*self._copies.columns(name)]
        inspector = self._inspector
        return [each["name"] for each in inspector.get_columns(name)] if inspector.has_table(name) else []

    @cached_property
    def _inspector(self) -> Inspector:
        """Read the columns of each table once: in one transaction, they stay the same."""
        return inspect(self._connection)

    def instant(self, stored: Any) -> str | None:
        """Return the stored instant as ISO 8601 (UTC, microseconds); None for any other value."""
        try:
            return _iso(stored, postgresql=self._postgresql)
        except NotCanonical:
            return None

    def _event(self, row: dict[str, Any], mac: Any) -> ScannedEvent:
        number = row["id"]
        try:
            for name in _JSON:
                row[name] = read_canonical_json(row[name])
            for name in _INSTANTS:
                row[name] = None if row[name] is None else _iso(row[name], postgresql=self._postgresql)
            if any(not isinstance(each, dict) or "id" not in each for each in row["delegations"]):
                raise NotCanonical
            return ScannedEvent(number=number, leaf=text_hash(event_text(row)), row=row, mac=mac)
        except (ValueError, TypeError, AttributeError):
            return ScannedEvent(number=number, leaf=None, row=None, mac=mac)

    def _rows(self, table: Table | TableClause, *names: str) -> Iterator[Sequence[Any]]:
        if self._copies and self._copies.can_read(table.name, names):
            yield from _converted(self._copies, table.name, names)
        else:
            yield from self._queried(table, *names)

    def _queried(self, table: Table | TableClause, *names: str) -> Iterator[Sequence[Any]]:
        columns: list[ColumnElement[Any]] = [literal_column(self._raw(table, name)).label(name) for name in names]
        statement = select(*columns).select_from(text(table.name if self._postgresql else _from_file(table)))
        at_once = _WIDE_ROWS if table is events else ROWS
        streamed = statement.execution_options(stream_results=True, yield_per=at_once)
        yield from self._connection.execute(streamed)

    def _raw(self, table: Table | TableClause, name: str) -> str:
        """Return the SQL that reads a column as it is stored, and shortens a value longer than a server writes.

        A shortened PostgreSQL value is still longer than any valid value.
        A SQLite value that is too long becomes an empty blob.
        A PostgreSQL `timestamptz` is read as text, because it can be infinity.
        The attack: raw SQL inserts one gigabyte, which exhausts the memory of `verify`.
        """
        kind = table.c[name].type
        longest = LONGEST_JSON if isinstance(kind, CanonicalJson) else _LONGEST
        if not self._postgresql:
            return f"CASE WHEN length(CAST({name} AS BLOB)) > {longest} THEN x'' ELSE {name} END"
        # Exactly the argument's type, so no added function matches better. Octets as text would be twice as long, and
        # PostgreSQL makes no text of more than a gigabyte.
        its = f"{name}::{'bytea' if isinstance(kind, LargeBinary) else 'text'}"
        if isinstance(kind, Instant):
            short, value = "''", its
        elif isinstance(kind, String | Text | CanonicalJson):
            short, value = f"substr({its}, 1, {longest} + 1)", name
        elif isinstance(kind, LargeBinary):
            short, value = "''::bytea", name
        else:  # the owner of a table can change the type of a column
            short, value = "NULL", name
        return f"CASE WHEN octet_length({its}) > {longest} THEN {short} ELSE {value} END"


def _from_file(table: Table | TableClause) -> str:
    """Return the FROM clause with which SQLite reads the table without an index."""
    if isinstance(table, Table) and not table.dialect_options["sqlite"]["with_rowid"]:
        return rows_without_rowid(table.name)
    return f"{table.name} NOT INDEXED"


@lru_cache(maxsize=100)
def _all_stored(dialect: str, name: str, names: tuple[str, ...]) -> Select[Any]:
    """Return the statement of `Scan.digested`."""
    source = text(name if dialect == "postgresql" else f"{name} NOT INDEXED")
    statement: Select[Any] = stored(dialect, name, names, source=source).add_columns(has_long(dialect, names))
    return statement.execution_options(stream_results=True, yield_per=_LONGEST_ROWS)


def plan_as_servers(connection: Connection) -> None:
    """Undo `Scan.sequential`. PostgreSQL then plans later statements of this transaction like a server's statements."""
    if connection.dialect.name == "postgresql":
        for way in ("seqscan", *_INDEX_SCANS):
            connection.execute(text(f"SET LOCAL enable_{way} TO DEFAULT"))


def as_servers(connection: Connection) -> AbstractContextManager[None]:
    """Within this context, the statements of this transaction have the timeouts of a server."""
    if connection.dialect.name != "postgresql":
        return nullcontext()
    from authsec_server.db.postgresql_connection import timeouts_of_servers  # not imported on SQLite

    return timeouts_of_servers(connection)


def _copies_of(connection: Connection) -> TableCopies:
    from authsec_server.db.table_copy import TableCopies  # not imported on SQLite

    return TableCopies(connection)


def _converted(copies: TableCopies, table: str, names: Sequence[str]) -> Iterator[Sequence[Any]]:
    """Yield these columns of each row. Numbers and bytes have their own types; all other values are texts."""
    types = copies.columns(table)
    converted = [(at, convert) for at, name in enumerate(names) if (convert := _CONVERT.get(types.get(name, 0)))]
    for texts in copies.rows(table, names):
        row: list[Any] = list(texts)
        for at, convert in converted:
            if row[at] is not None:
                row[at] = convert(row[at])
        yield row


def _octets(value: str) -> bytes:
    return bytes.fromhex(value.removeprefix("\\x"))


_CONVERT: Final[Mapping[int, Callable[[str], Any]]] = {20: int, 21: int, 23: int, 17: _octets}  # by oids of types


def _iso(stored: Any, *, postgresql: bool) -> str:
    """Return the instant in the form that `audit.merkle_tree` hashes. Raises `NotCanonical` for any other value."""
    if not isinstance(stored, str):
        raise NotCanonical
    if postgresql:
        found = _POSTGRESQL_INSTANT.fullmatch(stored)
        if found is None:  # infinity, or a year beyond 9999
            raise NotCanonical
        stored = f"{found[1]} {found[2]}.{(found[3] or ''):0<6}"
    try:
        read = datetime.fromisoformat(stored)
    except ValueError:
        raise NotCanonical from None
    if read.tzinfo is not None or read.isoformat(" ", "microseconds") != stored:
        raise NotCanonical
    return read.replace(tzinfo=UTC).isoformat(timespec="microseconds")


def octets_of(text: Any) -> bytes:
    """Return the text as the bytes that the database stores, including text that is not UTF-8 (see `Scan`)."""
    if not isinstance(text, str):
        return b"\x00" + repr(text).encode()
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
