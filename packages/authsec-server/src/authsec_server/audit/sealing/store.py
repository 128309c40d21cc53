"""The SQL of the sealed log: a hash for each sealed event, in the order of sealing, and the signed checkpoints.

Raw SQL can put any value into any SQLite column, even bytes that are not valid text.
A check must be able to read such a value and report its place.
Therefore hashes and checkpoints are read as bytes.
Events are read one by one if one of them is unreadable.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    Select,
    Text,
    and_,
    case,
    cast,
    delete,
    false,
    func,
    insert,
    inspect,
    literal_column,
    select,
    text,
)

from authsec_server.audit.model import COUNTED, EventKind
from authsec_server.audit.sealing.checkpoints import Checkpoint, Keys, record_in
from authsec_server.audit.sealing.seal_places import SealPlaces
from authsec_server.audit.sealing.succession import NEVER, Succession, is_replacement, streamed_succession
from authsec_server.audit.store import ACT, checkpoints, events, sealed_events
from authsec_server.audit.unreadable_rows import events_one_by_one, read_numbered
from authsec_server.db.driver import insert_rows
from authsec_server.db.locks import SEALING_LOCK
from authsec_server.db.schema import LONGEST_JSON

MAX_SIZE = 2**63 - 1
AT_ONCE = 1000  # rows that one statement names
_HASH = cast(sealed_events.c.hash, LargeBinary).label("hash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """An entry of the sealed log: its position, the number of its event, and its leaf hash."""

    position: int
    event_id: int
    hash: bytes


def is_there(connection: Connection) -> bool:
    """Whether the database has the tables of the sealed log. Raw SQL may have dropped them."""
    return inspect(connection).has_table(checkpoints.name)


def lock_sealing(connection: Connection) -> bool:
    """Take the lock for sealing until the transaction ends. Return whether this transaction got the lock.

    SQLite needs no lock, because it has only one writer.
    """
    if connection.dialect.name != "postgresql":
        return True
    taken: bool = connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": SEALING_LOCK}).scalar_one()
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Growing:
    """The time range of counted refusals that may still get further occurrences, from `since` to `until`.

    A refusal dated after `until` comes from a clock that was ahead, or was inserted by raw SQL.
    Such a refusal is treated as complete. Otherwise it would stop the progress of sealing for years.
    An event of another kind with a `count_key` was also inserted by raw SQL, and is treated as complete too.
    A refusal numbered up to `old` is complete as well, whatever its time: raw SQL can renew the time.
    """

    since: datetime
    until: datetime
    old: int = 0

    def holds(self) -> ColumnElement[bool]:
        """Return the SQL condition for a refusal that may still get further occurrences."""
        is_counted = and_(events.c.count_key.is_not(None), events.c.kind.in_(sorted(COUNTED)))
        return and_(is_counted, events.c.id > self.old, events.c.at.between(self.since, self.until))


def unsealed(
    connection: Connection, *, after: int, top: int, growing: Growing, places: SealPlaces, limit: int
) -> list[tuple[int, bool]]:
    """Return the next event numbers above `after` and up to `top` that have no seal, in order.

    The second value says whether a leaf in another place has the number: then the event can get no seal.
    On PostgreSQL, raw SQL can give one number to several events. Then the result has the number once for each event.
    Refusals that may still get further occurrences are left out.
    """
    statement = select(events.c.id, places.other_seal()).where(
        events.c.id > after, events.c.id <= top, ~growing.holds(), ~places.has_seal()
    )
    return [(row[0], row[1] is not None) for row in connection.execute(statement.order_by(events.c.id).limit(limit))]


def copied(connection: Connection, numbers: Collection[int]) -> dict[int, int]:
    """Return for each of these numbers how many events have it. Numbers with a single event are left out."""
    number, rows = events.c.id, func.count()
    statement = select(number, rows).where(number.in_(numbers)).group_by(number).having(rows > 1)
    return {row[0]: row[1] for row in connection.execute(statement)}


def above(connection: Connection, top: int, limit: int) -> list[int]:
    """Return the first event numbers above `top`."""
    return list(
        connection.execute(select(events.c.id).where(events.c.id > top).order_by(events.c.id).limit(limit)).scalars()
    )


def without_seal(connection: Connection, *, through: int, since: datetime, limit: int) -> list[int]:
    """Return numbers up to `through` of events without a seal, dated at `since` or later. Later days are left out.

    Nearly all events since then have higher numbers, so only few numbers are searched in the seals.
    """
    number, at = events.c.id, events.c.at
    seal = select(sealed_events.c.event_id).where(sealed_events.c.event_id == number).scalar_subquery()
    late = at >= since, at < since + timedelta(days=1)
    statement = select(number).where(*late, number <= through, seal.is_(None))
    return list(connection.execute(statement.limit(limit)).scalars())


def first_dated(connection: Connection, *, after: int, since: datetime, until: datetime) -> int | None:
    """Return the lowest number above `after` of an event between these times; None if there is none."""
    number, at = events.c.id, events.c.at
    lowest = select(number).where(number > after, at.between(since, until)).order_by(number).limit(1)
    found: int | None = connection.execute(lowest).scalar_one_or_none()
    return found


def first_growing(connection: Connection, *, after: int, growing: Growing) -> int | None:
    """Return the lowest number above `after` of a refusal that may still get further occurrences; else None."""
    lowest = select(func.min(events.c.id)).where(events.c.id > after, growing.holds())
    found: int | None = connection.execute(lowest).scalar_one()
    return found


def lock_counts(connection: Connection, counts: Mapping[tuple[int, datetime], int]) -> bool:
    """Lock these rows of counted refusals until the commit. `counts` are their occurrences, by number and time.

    Return true if no refusal got further occurrences.
    """
    if not counts:
        return True
    numbers = {number for number, _ in counts}
    statement = select(events.c.id, events.c.at, events.c.occurrences).where(events.c.id.in_(numbers))
    rows = connection.execute(statement.order_by(events.c.id, events.c.at).with_for_update())
    there = {(row.id, row.at): row.occurrences for row in rows}
    return counts == {key: there.get(key) for key in counts}


def add_leaves(connection: Connection, leaves: Collection[Leaf]) -> None:
    """Append these leaves to the sealed log."""
    rows = [(leaf.position, leaf.event_id, leaf.hash) for leaf in leaves]
    if rows:
        insert_rows(connection, sealed_events.name, ("position", "event_id", "hash"), rows)


def add_checkpoint(connection: Connection, checkpoint: Checkpoint) -> None:
    """Store the checkpoint, and delete the checkpoint before it if both are of the same minute.

    Of each minute only the last checkpoint is kept, because the others can be computed from the leaves.
    The first checkpoint of each size is also kept, because it shows when the last of its leaves was sealed.
    Only the newest stored checkpoint can be of the same minute.
    It is found by its size, because the time column has no index.
    """
    size, at = checkpoints.c.size, checkpoints.c.at
    newest = select(func.max(size)).scalar_subquery()
    connection.execute(
        delete(checkpoints).where(size == newest, size < checkpoint.size, at >= checkpoint.at.replace(second=0))
    )
    first = select(func.min(at)).where(size == checkpoint.size).scalar_subquery()
    connection.execute(delete(checkpoints).where(size == checkpoint.size, at > first))
    connection.execute(delete(checkpoints).where(size == checkpoint.size, at == checkpoint.at))
    connection.execute(insert(checkpoints).values(size=checkpoint.size, at=checkpoint.at, signed=checkpoint.signed))


def last_signed(connection: Connection) -> str | None:
    """Return the signed text of the newest checkpoint; None without a checkpoint."""
    newest = newest_checkpoint(connection)
    return newest[1] if newest else None


def last_signed_and_time(connection: Connection) -> tuple[str | None, datetime | None]:
    """Return the result of `last_signed`, and PostgreSQL's time. On SQLite, the time is None."""
    if connection.dialect.name != "postgresql":
        return last_signed(connection), None
    newest = select(checkpoints.c.signed).order_by(checkpoints.c.size.desc(), checkpoints.c.at.desc()).limit(1)
    row = connection.execute(select(newest.scalar_subquery(), func.clock_timestamp())).one()
    return row[0], row[1].astimezone(UTC)


def signed_until(connection: Connection, time: datetime, limit: int = 10) -> list[str]:
    """Return the newest checkpoints with this time or an earlier time in their column."""
    statement = _checkpoints(connection).where(checkpoints.c.at <= time).order_by(checkpoints.c.size.desc())
    return [_as_text(row.signed) for row in connection.execute(statement.limit(limit))]


def signed_of_size(connection: Connection, size: int, limit: int) -> list[str]:
    """Return the checkpoints of this size. The newest one comes first, by the time in its row."""
    statement = _checkpoints(connection).where(checkpoints.c.size == size).order_by(checkpoints.c.at.desc())
    return [_as_text(row.signed) for row in connection.execute(statement.limit(limit))]


def newest_checkpoint(connection: Connection) -> tuple[int, str] | None:
    """Return the size and the signed text of the newest checkpoint; None without a checkpoint."""
    statement = _checkpoints(connection).order_by(checkpoints.c.size.desc(), checkpoints.c.at.desc()).limit(1)
    row = connection.execute(statement).one_or_none()
    return None if row is None else (row.size, _as_text(row.signed))


def newest_at(connection: Connection) -> datetime | None:
    """Return when the newest checkpoint was signed; None without a checkpoint."""
    statement = select(checkpoints.c.at).order_by(checkpoints.c.size.desc(), checkpoints.c.at.desc()).limit(1)
    at: datetime | None = connection.execute(statement).scalar_one_or_none()
    return at


def size_before(connection: Connection, time: datetime) -> int:
    """Return the size of the largest checkpoint signed before this time; 0 if there is none."""
    statement = select(func.max(checkpoints.c.size)).where(checkpoints.c.at < time)
    return connection.execute(statement).scalar_one() or 0


def leaves(connection: Connection, *, after: int, limit: int) -> list[Leaf]:
    """Return the next leaves after the position `after`. The position -1 starts at the first leaf."""
    seals = sealed_events.c
    statement = select(seals.position, cast(seals.event_id, BigInteger).label("event_id"), _HASH)
    rows = connection.execute(statement.where(seals.position > after).order_by(seals.position).limit(limit))
    return [Leaf(position=row.position, event_id=row.event_id, hash=row.hash) for row in rows]


def hashes(connection: Connection, *, after: int, limit: int) -> list[bytes]:
    """Return only the hashes of the next leaves after the position `after`, for a caller that reads very many."""
    seals = sealed_events.c
    statement = select(_HASH).where(seals.position > after).order_by(seals.position).limit(limit)
    return list(connection.execute(statement).scalars())


def checkpoints_between(connection: Connection, low: int, high: int) -> list[tuple[int, str]]:
    """Return the size and the signed text of each checkpoint with `low` < size <= `high`."""
    statement = _checkpoints(connection).where(checkpoints.c.size > low, checkpoints.c.size <= high)
    in_order = statement.order_by(checkpoints.c.size, checkpoints.c.at)
    return [(row.size, _as_text(row.signed)) for row in connection.execute(in_order)]


def _checkpoints(connection: Connection) -> Select[Any]:
    signed: ColumnElement[Any] = checkpoints.c.signed
    if connection.dialect.name == "sqlite":
        signed = cast(signed, LargeBinary).label("signed")
    return select(checkpoints.c.size, signed)


def _as_text(signed: str | bytes) -> str:
    return signed if isinstance(signed, str) else signed.decode("ascii", "replace")


def events_by_number(connection: Connection, numbers: Collection[int]) -> dict[int, list[Row[Any]]]:
    """Return the rows with these numbers, which fit into memory. A number without a readable row is left out.

    A number can have several rows: raw SQL can insert a second row with the same number on PostgreSQL.
    Of very many rows with one number, only the earliest are returned.
    Raw SQL can also insert a row that is not an event.
    """
    found: dict[int, list[Row[Any]]] = {}
    for row in read_numbered(connection, numbers):
        if not isinstance(row, int):
            found.setdefault(row.id, []).append(row)
    return found


def succession_in(
    connection: Connection,
    keys: Keys,
    ends: Mapping[str, int] | None = None,
    after: Mapping[str, str] | None = None,
    *,
    low: int = 0,
    high: int = NEVER,
) -> Succession:
    """Return these keys and their order after the replacement records at the places from `low` to `high` - 1.

    `ends` and `after` are those of the places before `low`.
    """
    read = partial(_replacements_between, connection, low, high) if low else partial(_replacements, connection, high)
    return streamed_succession(read, keys, ends, after)


def _replacements(connection: Connection, high: int) -> Iterator[tuple[int, str]]:
    """Yield the place and the record of each key replacement below the place `high`. Signatures are not verified.

    Records that are too long are left out, because raw SQL can insert very many.
    """
    for place, signed in records(connection, EventKind.SEAL_KEY_REPLACED):
        if place is not None and place < high and is_replacement(signed):
            yield place, signed


def _replacements_between(connection: Connection, low: int, high: int) -> Iterator[tuple[int, str]]:
    """Yield the result of `_replacements` for the places from `low` to `high` - 1, in order. Read no other leaf."""
    while low < high and (some := leaves(connection, after=low - 1, limit=min(AT_ONCE, high - low))):
        placed = {leaf.event_id: leaf.position for leaf in some if leaf.position < high}
        numbered = _numbers_of_records(connection, EventKind.SEAL_KEY_REPLACED).where(events.c.id.in_(placed))
        found = replacing(connection, connection.scalars(numbered))
        yield from sorted((placed[number], signed) for number, signed in found)
        low = some[-1].position + 1


def replacing(connection: Connection, numbers: Iterable[int]) -> Iterator[tuple[int, str]]:
    """Yield the number and the signed record of each of these events that has a record of a replaced key."""
    for row in events_one_by_one(connection, numbers):
        if not isinstance(row, int):
            signed = record_in(row._asdict(), EventKind.SEAL_KEY_REPLACED)
            if signed and is_replacement(signed):
                yield row.id, signed


def records(connection: Connection, kind: EventKind) -> Iterator[tuple[int | None, str]]:
    """Yield the place and the signed record of each event of this kind. The place is None without a seal.

    The kind must be rare. But raw SQL may have inserted very many events of this kind.
    So only few events are read together, and events without a record are not read.
    """
    after = -(2**63)
    numbered = _numbers_of_records(connection, kind)
    while numbers := list(
        connection.execute(numbered.where(events.c.id > after).order_by(events.c.id).limit(AT_ONCE)).scalars()
    ):
        placed = places(connection, numbers)
        for row in events_one_by_one(connection, numbers):
            if not isinstance(row, int) and (signed := record_in(row._asdict(), kind)):
                yield placed.get(row.id), signed
        after = numbers[-1]


def _numbers_of_records(connection: Connection, kind: EventKind) -> Select[Any]:
    return select(events.c.id).where(literal_column(ACT), events.c.kind == kind, _carries_record(connection))


def _carries_record(connection: Connection) -> ColumnElement[bool]:
    """Return the SQL condition for an event whose `detail` has a text `record`, in the form that AuthSec writes.

    A `detail` that is too long does not match and is not read. No reader's filter searches JSON text. Here the search
    hides nothing: an event whose `detail` has another form cannot be read, and `verify` reports it.
    """
    detail = events.c.detail
    octets = (
        func.length(cast(detail, LargeBinary)) if connection.dialect.name == "sqlite" else func.octet_length(detail)
    )
    return case((octets <= LONGEST_JSON, cast(detail, Text).like('%"record":"%')), else_=false())


def is_sealed(connection: Connection, number: int) -> bool:
    """Whether the event with this number is in the sealed log."""
    statement = select(sealed_events.c.position).where(sealed_events.c.event_id == number)
    return connection.execute(statement).first() is not None


def places(connection: Connection, numbers: Collection[int]) -> dict[int, int]:
    """Return the place in the sealed log of each of these event numbers. Numbers without a seal are left out."""
    seals = sealed_events.c
    statement = select(seals.event_id, seals.position).where(seals.event_id.in_(numbers))
    return {row.event_id: row.position for row in connection.execute(statement)}


def size(connection: Connection) -> int:
    """Return the number of leaves in the sealed log."""
    number: int = connection.execute(select(func.count()).select_from(sealed_events)).scalar_one()
    return number


def allow_long_statements(connection: Connection) -> None:
    """On PostgreSQL, raise the statement and idle timeouts of this transaction to one hour.

    The reason: the caller may read a long file during the transaction.
    """
    if connection.dialect.name == "postgresql":
        from authsec_server.db.postgresql_connection import allow_long_statements as allow_long_statements_there

        allow_long_statements_there(connection)
