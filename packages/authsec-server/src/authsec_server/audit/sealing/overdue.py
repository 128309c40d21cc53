"""Whether an event has waited too long for its seal. Each dashboard runs this query, so it reads few rows."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, or_, select

from authsec_server.audit.model import COUNTED
from authsec_server.audit.sealing.seal_places import seal_place
from authsec_server.audit.store import checkpoints, events, sealed_events

_LATEST: Final = 100  # events by time
_FIRST: Final = 500  # events by number
_COVERED: Final = seal_place < select(func.coalesce(func.max(checkpoints.c.size), 0)).scalar_subquery()


def waits(connection: Connection, *, since: datetime) -> bool:
    """Whether an event dated before `since` has no seal.

    Two groups of events are searched: events numbered above the last sealed event, and the latest events by time.
    Events inserted by raw SQL are included.
    The first group alone is not enough, because the last sealed number may belong to an inserted event.
    """
    above = select(events.c.id).where(
        events.c.id > func.coalesce(_last_sealed(), 0), events.c.at < since, _has_no_seal(events.c.id)
    )
    above = above.order_by(events.c.id)  # otherwise SQLite reads the whole log by time
    by_time = select(events.c.id).where(events.c.at < since).order_by(events.c.at.desc()).limit(_LATEST).subquery()
    either = (above, select(by_time.c.id).where(_has_no_seal(by_time.c.id)))
    return any(connection.execute(statement.limit(1)).first() is not None for statement in either)


def oldest_waiting_at(connection: Connection, *, since: datetime) -> datetime | None:
    """Return the time of the oldest event without a seal, of the first ones above the last sealed event.

    A refusal that is counted by the minute waits for minutes. So it is left out if it is not dated before `since`.
    """
    first = (
        select(events.c.at, events.c.kind)
        .where(events.c.id > func.coalesce(_last_sealed(), 0), _has_no_seal(events.c.id))
        .order_by(events.c.id)
        .limit(_FIRST)
        .subquery()
    )
    is_due = or_(first.c.kind.not_in(COUNTED), first.c.at < since)
    found: datetime | None = connection.execute(select(func.min(first.c.at)).where(is_due)).scalar()
    return found


def _last_sealed() -> ScalarSelect[int]:
    """Return the SQL of the number of the last event that a checkpoint covers."""
    newest = sealed_events.c.position.desc()
    size = select(func.coalesce(func.max(checkpoints.c.size), 0)).scalar_subquery()  # an index finds the largest size
    covered = sealed_events.c.position < size
    return select(sealed_events.c.event_id).where(covered).order_by(newest).limit(1).scalar_subquery()


def _has_no_seal(number: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the SQL condition for an event number without a covered seal.

    The aggregate keeps PostgreSQL from joining, which can read all seals.
    """
    first = select(func.min(seal_place)).where(sealed_events.c.event_id == number, _COVERED)
    return first.scalar_subquery().is_(None)
