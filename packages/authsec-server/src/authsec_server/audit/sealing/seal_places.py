"""The places in the sealed log that a seal can have, and the seals that raw SQL inserted in other places."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, delete, exists, func, or_, select, union_all

from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.audit.store import events, sealed_events

# A sum, so that PostgreSQL uses no index on the place. With the index, it would read many seals for each event.
seal_place = sealed_events.c.position + 0
_AT_ONCE: Final = 1000  # seals that one statement names
_LAST_PLACE: Final = 2**63 - 1
_DELETED: Final = {
    "postgresql": 100_000,
    "sqlite": 10_000,
}  # seals in one transaction; on SQLite, tokens wait meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class SealPlaces:
    """The places that the seals of some events can have: from `first` to `size` - 1.

    An event numbered above `top` has no seal before the place `first_above`.
    The attack: raw SQL inserts a seal that no checkpoint covers, or moves an old seal to the number of a new event.
    Then the event would look sealed.
    """

    size: int
    first: int = 0
    top: int = MAX_NUMBER
    first_above: int = 0

    def has_seal(self) -> ColumnElement[bool]:
        """Return the SQL condition for an event that has a seal in one of these places."""
        within = (
            seal_place >= self.first,
            seal_place < self.size,
            or_(events.c.id <= self.top, seal_place >= self.first_above),
        )
        return exists().where(sealed_events.c.event_id == events.c.id, *within)

    def other_seal(self) -> ColumnElement[Any]:
        """Return the SQL expression for the first place of a verified leaf with the event's number; NULL without one.

        Several leaves can have the number, if raw SQL removes the unique index.
        """
        within = sealed_events.c.event_id == events.c.id, seal_place >= 0, seal_place < self.size
        return select(func.min(sealed_events.c.position)).where(*within).scalar_subquery()


def planted(connection: Connection, size: int) -> list[tuple[int, int]]:
    """Return some seals outside the first `size` places, as place and event number. Raw SQL inserted these seals."""
    its = sealed_events.c
    both = select(its.position, cast(its.event_id, BigInteger).label("event_id"))
    # Two statements in one: one condition for both would make SQLite read all seals.
    parts = [
        select(both.where(outside).order_by(its.position).limit(_AT_ONCE).subquery())
        for outside in (its.position >= size, its.position < 0)
    ]
    return [(row[0], row[1]) for row in connection.execute(union_all(*parts))]


def delete_planted(connection: Connection, size: int, numbers: Collection[int]) -> None:
    """Delete a large batch of seals outside the first `size` places, and all such seals with these event numbers."""
    its, most = sealed_events.c, _DELETED[connection.dialect.name]
    for outside in (its.position >= size, its.position < 0):
        last = select(its.position).where(outside).order_by(its.position).offset(most - 1).limit(1).scalar_subquery()
        connection.execute(delete(sealed_events).where(outside, its.position <= func.coalesce(last, _LAST_PLACE)))
    there = or_(its.position >= size, its.position < 0)
    connection.execute(delete(sealed_events).where(there, its.event_id.in_(numbers)))
