"""The rows that are dropped: which they are, and their deletion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, or_, select

from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.dropped import STAYING, DropRecord, Run, runs
from authsec_server.audit.sealing.given import Given
from authsec_server.audit.sealing.store import be_patient, size_before
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Tx

BATCH = 500  # events; on SQLite tokens wait while they are deleted


@dataclass(slots=True, kw_only=True)
class ToGo:
    """What is to be dropped: how many events, their lowest and highest number, their `places` in the log.

    `lacking` of them are not in the export as they were sealed.
    """

    events: int = 0
    numbers: Run = (0, 0)
    places: tuple[Run, ...] = ()
    lacking: int = 0

    def meet(self, number: int, held: bool) -> None:
        """One more of them; whether the export holds it."""
        low, high = self.numbers if self.events else (number, number)
        self.events += 1
        self.numbers = (min(low, number), max(high, number))
        self.lacking += not held


def to_go(tx: Tx, *, before: datetime, export: Given) -> ToGo:
    """The events dated before that time under a head signed before it, but those that stay. However many there are."""
    be_patient(tx.connection)
    seals = sealed_events.c
    which = and_(
        events.c.at < before,
        events.c.kind.not_in(sorted(STAYING)),
        seals.position < size_before(tx.connection, before),
    )
    statement = select(seals.position, seals.hash, seals.event_id).join(events, events.c.id == seals.event_id)
    in_order = statement.where(which).order_by(seals.position).execution_options(yield_per=BATCH)
    found = ToGo()

    def places() -> Iterator[int]:
        for row in tx.connection.execute(in_order):
            held = export.held_at(row.position)
            found.meet(row.event_id, held is not None and held.leaf == bytes(row.hash))
            yield row.position

    found.places = runs(places())
    return found


def not_sealed(connection: Connection, before: datetime) -> bool:
    """Whether something dated before that time has no seal."""
    sealed = exists().where(sealed_events.c.event_id == events.c.id)
    return connection.execute(select(events.c.id).where(events.c.at < before, ~sealed).limit(1)).first() is not None


def dated_before(connection: Connection, before: datetime, such: ColumnElement[bool]) -> bool:
    """Whether `such` an event is dated before that time."""
    return connection.execute(select(events.c.id).where(events.c.at < before, such).limit(1)).first() is not None


def issued_alive(connection: Connection, before: datetime, now: datetime) -> bool:
    """Whether a token that was issued before that time has not expired by `now`."""
    issued = and_(events.c.at < before, events.c.expires_at > now, events.c.kind == EventKind.TOKEN_ISSUED)
    return connection.execute(select(events.c.id).where(issued).limit(1)).first() is not None


def some_left(connection: Connection, record: DropRecord) -> bool:
    """Whether a row of those that the record names is still there."""
    return connection.execute(_left(record).limit(1)).first() is not None


def delete_some(connection: Connection, record: DropRecord) -> int:
    """Delete some of the rows that the record names; how many. 0: none is left."""
    numbers = list(connection.execute(_left(record).limit(BATCH)).scalars())
    return connection.execute(delete(events).where(events.c.id.in_(numbers))).rowcount if numbers else 0


def beside(record: DropRecord) -> ColumnElement[bool]:
    """The condition of events that the record does not name: they came late, or they stay."""
    return ~exists().where(sealed_events.c.event_id == events.c.id, _named(record))


def _left(record: DropRecord) -> Select[tuple[int]]:
    low, high = record.numbers
    seals = sealed_events.c
    statement = select(events.c.id).join(sealed_events, seals.event_id == events.c.id)
    return statement.where(events.c.id.between(low, high), _named(record)).order_by(events.c.id)


def _named(record: DropRecord) -> ColumnElement[bool]:
    return or_(*(sealed_events.c.position.between(first, last) for first, last in record.places))
