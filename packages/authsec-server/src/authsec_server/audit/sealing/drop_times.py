"""When the events of old months may be dropped: the authority needs none of them any more."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, exists, select

from authsec_server.audit.model import EventKind
from authsec_server.audit.rollup import SETTLING, Progress, is_not_counted, progress_of
from authsec_server.audit.sealing.dropped import NEVER_DROPPED
from authsec_server.audit.sealing.store import allow_long_statements
from authsec_server.audit.sealing.whole_changes import size_before
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Invalid

ALIVE = timedelta(hours=1)  # added to the lifetime of each token, because clocks differ


def has_events_to_drop(tx: Tx, before: datetime) -> bool:
    """Whether a drop of the months before `before` would remove an event: dated and sealed before that time."""
    allow_long_statements(tx.connection)
    which = and_(
        events.c.at < before,
        events.c.kind.not_in(sorted(NEVER_DROPPED)),
        sealed_events.c.position < size_before(tx.connection, before),
    )
    its = select(events.c.id).join(sealed_events, events.c.id == sealed_events.c.event_id).where(which)
    return tx.connection.execute(its.limit(1)).first() is not None


def not_sealed(connection: Connection, before: datetime) -> bool:
    """Whether an event with a time before `before` has no seal."""
    sealed = exists().where(sealed_events.c.event_id == events.c.id)
    return connection.execute(select(events.c.id).where(events.c.at < before, ~sealed).limit(1)).first() is not None


def dated_before(connection: Connection, before: datetime, such: ColumnElement[bool]) -> bool:
    """Whether an event that matches the condition `such` has a time before `before`."""
    return connection.execute(select(events.c.id).where(events.c.at < before, such).limit(1)).first() is not None


def issued_alive(connection: Connection, before: datetime, now: datetime) -> bool:
    """Whether a token that was issued before `before` is still valid at `now`."""
    issued = and_(events.c.at < before, events.c.expires_at > now, events.c.kind == EventKind.TOKEN_ISSUED)
    return connection.execute(select(events.c.id).where(issued).limit(1)).first() is not None


def check_time(tx: Tx, before: datetime, now: datetime) -> None:
    """Refuse the drop if the authority still needs events of these months.

    Raises `Invalid` if a month is not over.
    Raises `Conflict` if a token of these months is still valid.
    Raises `Conflict` if an event of these months is not counted or not sealed.
    """
    allow_long_statements(tx.connection)
    if before > now.replace(day=1, hour=0, minute=0, second=0, microsecond=0):
        raise Invalid("before", "A month cannot be dropped before it is over.", f"Use at most: --before {now:%Y-%m}")
    if issued_alive(tx.connection, before, now - ALIVE):
        raise Conflict("Tokens of those months are still valid.", "Wait until the last of these tokens has expired.")
    not_counted = is_not_counted(progress_of(tx.connection))
    if before > now - SETTLING or dated_before(tx.connection, before, not_counted):
        raise Conflict("Not all events are counted yet.", "Start a server: it counts the events within a few minutes.")
    if not_sealed(tx.connection, before):
        raise Conflict("Not all events are sealed yet.", "Start a server: it seals the events within a few minutes.")


def check_quiet(tx: Tx, before: datetime, progress: Progress) -> None:
    """Refuse the drop if an event of those months was recorded after the check. Raises `Conflict`.

    A server whose clock is behind may record such an event.
    The counts in the drop record would omit the event, although a roll-up may already have counted it.
    """
    if dated_before(tx.connection, before, is_not_counted(progress)):
        raise Conflict(
            "Nothing was dropped. During the drop, a server recorded a new event with a time in those months: that "
            "server's clock is behind.",
            "Try again in a few minutes, after a server has sealed and counted the event.",
        )
