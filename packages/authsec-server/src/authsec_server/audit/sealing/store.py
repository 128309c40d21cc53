"""The log's statements: a hash for each sealed event, in the order of sealing, and the signed heads.

SQLite lets whoever writes by hand put anything into any column, also what is no text. That must be found where it is,
so it must be read: hashes and heads as octets, and events one by one where not all of them can be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
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
    exists,
    false,
    func,
    insert,
    inspect,
    literal_column,
    select,
    text,
)

from authsec_server.audit.model import COUNTED, EventKind
from authsec_server.audit.reading import events_one_by_one, read_events
from authsec_server.audit.sealing.heads import Head, record_in
from authsec_server.audit.sealing.succession import is_replacement
from authsec_server.audit.store import ACT, events, seal_heads, sealed_events
from authsec_server.db.locks import SEALING_LOCK
from authsec_server.db.schema import LONGEST_JSON

MAX_SIZE = 2**63 - 1
AT_ONCE = 1000  # rows that one statement names
_LATEST = 100  # events that are looked at by their time: a statement for each dashboard
_HASH = cast(sealed_events.c.hash, LargeBinary).label("hash")
_SEALED = exists().where(sealed_events.c.event_id == events.c.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """An event in the log: its place, its number, and its hash."""

    position: int
    event_id: int
    hash: bytes


def is_there(connection: Connection) -> bool:
    """Whether the database has a log: raw SQL may have dropped it."""
    return inspect(connection).has_table(seal_heads.name)


def take_turn(connection: Connection) -> bool:
    """Whether this transaction may seal, until it ends: one at a time. On SQLite there is only one that writes."""
    if connection.dialect.name != "postgresql":
        return True
    taken: bool = connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": SEALING_LOCK}).scalar_one()
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Growing:
    """Counted refusals dated from `since` to `until` may still be counted up.

    A later one is of a clock that was ahead, or planted: it would else keep `through` where it is, for years. A
    `count_key` on an event of another kind is planted, too.
    """

    since: datetime
    until: datetime

    def holds(self) -> ColumnElement[bool]:
        """Whether a row is one of these."""
        is_counted = and_(events.c.count_key.is_not(None), events.c.kind.in_(sorted(COUNTED)))
        return and_(is_counted, events.c.at.between(self.since, self.until))


def unsealed(connection: Connection, *, after: int, growing: Growing, limit: int) -> list[int]:
    """The next numbers above `after` of events that are not sealed, and that grow no more."""
    statement = select(events.c.id).where(events.c.id > after, ~growing.holds(), ~_SEALED)
    return list(connection.execute(statement.order_by(events.c.id).limit(limit)).scalars())


def first_growing(connection: Connection, *, after: int, growing: Growing) -> int | None:
    """The lowest number above `after` of a refusal that may still be counted up."""
    lowest = select(func.min(events.c.id)).where(events.c.id > after, growing.holds())
    found: int | None = connection.execute(lowest).scalar_one()
    return found


def lock_counts(connection: Connection, rows: Collection[Row[Any]]) -> bool:
    """Lock the counted refusals among these rows until the commit; whether their counts are as in the rows."""
    counts = {row.id: row.occurrences for row in rows if row.count_key is not None}
    if not counts:
        return True
    statement = select(events.c.id, events.c.occurrences).where(events.c.id.in_(counts)).order_by(events.c.id)
    return counts == {row.id: row.occurrences for row in connection.execute(statement.with_for_update())}


def add_leaves(connection: Connection, leaves: Collection[Leaf]) -> None:
    """Append these to the log."""
    rows = [{"position": leaf.position, "event_id": leaf.event_id, "hash": leaf.hash} for leaf in leaves]
    if rows:
        connection.execute(insert(sealed_events), rows)


def add_head(connection: Connection, head: Head) -> None:
    """Keep the head. Of each minute the last stays, for from the leaves every other one can be computed anew.

    Of each size the first stays as well: it says when the last of its leaves was there. Only the newest can be of this
    minute, and it is found by its size: there is no index of times.
    """
    size, at = seal_heads.c.size, seal_heads.c.at
    newest = select(func.max(size)).scalar_subquery()
    connection.execute(delete(seal_heads).where(size == newest, size < head.size, at >= head.at.replace(second=0)))
    first = select(func.min(at)).where(size == head.size).scalar_subquery()
    connection.execute(delete(seal_heads).where(size == head.size, at > first))
    connection.execute(delete(seal_heads).where(size == head.size, at == head.at))
    connection.execute(insert(seal_heads).values(size=head.size, at=head.at, signed=head.signed))


def last_signed(connection: Connection) -> str | None:
    """The newest head, as it was signed."""
    newest = newest_head(connection)
    return newest[1] if newest else None


def newest_head(connection: Connection) -> tuple[int, str] | None:
    """The newest head: of how many leaves it says it is, and what was signed."""
    statement = _heads(connection).order_by(seal_heads.c.size.desc(), seal_heads.c.at.desc()).limit(1)
    row = connection.execute(statement).one_or_none()
    return None if row is None else (row.size, _as_text(row.signed))


def newest_at(connection: Connection) -> datetime | None:
    """When the newest head was signed."""
    statement = select(seal_heads.c.at).order_by(seal_heads.c.size.desc(), seal_heads.c.at.desc()).limit(1)
    at: datetime | None = connection.execute(statement).scalar_one_or_none()
    return at


def size_before(connection: Connection, time: datetime) -> int:
    """How many leaves the newest head has that was signed before that time; 0 where there is none."""
    statement = select(func.max(seal_heads.c.size)).where(seal_heads.c.at < time)
    return connection.execute(statement).scalar_one() or 0


def waits(connection: Connection, *, since: datetime) -> bool:
    """Whether an event from before `since` is not sealed: one of the last ones, or one above the last number sealed.

    Events that were written by hand as well, whatever they say. The highest number alone may be a planted one.
    """
    last = select(sealed_events.c.event_id).order_by(sealed_events.c.position.desc()).limit(1).scalar_subquery()
    above = select(events.c.id).where(events.c.id > func.coalesce(last, 0), events.c.at < since, ~_SEALED)
    by_time = select(events.c.id).where(events.c.at < since).order_by(events.c.at.desc()).limit(_LATEST).subquery()
    sealed = exists().where(sealed_events.c.event_id == by_time.c.id)
    either = (above, select(by_time.c.id).where(~sealed))
    return any(connection.execute(statement.limit(1)).first() is not None for statement in either)


def leaves(connection: Connection, *, after: int, limit: int) -> list[Leaf]:
    """The next leaves behind the position `after`; -1 begins."""
    seals = sealed_events.c
    statement = select(seals.position, cast(seals.event_id, BigInteger).label("event_id"), _HASH)
    rows = connection.execute(statement.where(seals.position > after).order_by(seals.position).limit(limit))
    return [Leaf(position=row.position, event_id=row.event_id, hash=row.hash) for row in rows]


def hashes(connection: Connection, *, after: int, limit: int) -> list[bytes]:
    """Those of the next leaves behind the position `after`, and nothing else of them: for whoever reads very many."""
    seals = sealed_events.c
    statement = select(_HASH).where(seals.position > after).order_by(seals.position).limit(limit)
    return list(connection.execute(statement).scalars())


def heads_between(connection: Connection, low: int, high: int) -> list[tuple[int, str]]:
    """The heads of more than `low` and up to `high` leaves: the size, and what was signed."""
    statement = _heads(connection).where(seal_heads.c.size > low, seal_heads.c.size <= high)
    in_order = statement.order_by(seal_heads.c.size, seal_heads.c.at)
    return [(row.size, _as_text(row.signed)) for row in connection.execute(in_order)]


def _heads(connection: Connection) -> Select[Any]:
    signed: ColumnElement[Any] = seal_heads.c.signed
    if connection.dialect.name == "sqlite":
        signed = cast(signed, LargeBinary).label("signed")
    return select(seal_heads.c.size, signed)


def _as_text(signed: str | bytes) -> str:
    return signed if isinstance(signed, str) else signed.decode("ascii", "replace")


def events_by_number(connection: Connection, numbers: Collection[int]) -> dict[int, list[Row[Any]]]:
    """The rows with these numbers; where there is none, or one cannot be read, the number is missing.

    Whoever writes by hand can make a row that is no event, and on PostgreSQL two with one number.
    """
    found: dict[int, list[Row[Any]]] = {}
    for row in read_events(connection, select(events).where(events.c.id.in_(numbers))):
        if not isinstance(row, int):
            found.setdefault(row.id, []).append(row)
    return found


def replacements(connection: Connection) -> list[tuple[int, str]]:
    """The records of replaced keys in the log, in the order of their places; whether they count is to be seen.

    Each once, and none that is too long for one: raw SQL can insert very many.
    """
    first: dict[str, int] = {}
    for place, signed in records(connection, EventKind.SEAL_KEY_REPLACED):
        if place is not None and is_replacement(signed):
            first[signed] = min(place, first.get(signed, place))
    return sorted((place, signed) for signed, place in first.items())


def records(connection: Connection, kind: EventKind) -> Iterator[tuple[int | None, str]]:
    """The signed records that events of a rare kind carry, and the place of each event that is sealed.

    However many events raw SQL has inserted: a few are read at once, and of those without a record none.
    """
    after = -(2**63)
    numbered = select(events.c.id).where(literal_column(ACT), events.c.kind == kind, _carries_record(connection))
    while numbers := list(
        connection.execute(numbered.where(events.c.id > after).order_by(events.c.id).limit(AT_ONCE)).scalars()
    ):
        placed = places(connection, numbers)
        for row in events_one_by_one(connection, numbers):
            if not isinstance(row, int) and (signed := record_in(row._asdict(), kind)):
                yield placed.get(row.id), signed
        after = numbers[-1]


def _carries_record(connection: Connection) -> ColumnElement[bool]:
    """Whether the detail, in the one form that is written, has a text `record`. A longer detail is not read."""
    detail = events.c.detail
    octets = (
        func.length(cast(detail, LargeBinary)) if connection.dialect.name == "sqlite" else func.octet_length(detail)
    )
    return case((octets <= LONGEST_JSON, cast(detail, Text).like('%"record":"%')), else_=false())


def is_sealed(connection: Connection, number: int) -> bool:
    """Whether the event with this number is in the log."""
    statement = select(sealed_events.c.position).where(sealed_events.c.event_id == number)
    return connection.execute(statement).first() is not None


def places(connection: Connection, numbers: Collection[int]) -> dict[int, int]:
    """The place in the log of each of these events that is sealed."""
    seals = sealed_events.c
    statement = select(seals.event_id, seals.position).where(seals.event_id.in_(numbers))
    return {row.event_id: row.position for row in connection.execute(statement)}


def size(connection: Connection) -> int:
    """How many leaves there are."""
    number: int = connection.execute(select(func.count()).select_from(sealed_events)).scalar_one()
    return number


def be_patient(connection: Connection) -> None:
    """Give each statement of this transaction an hour, and the pause between two of them: a long file may be read."""
    if connection.dialect.name == "postgresql":
        from authsec_server.db.postgresql_connection import be_patient as be_patient_there

        be_patient_there(connection)
