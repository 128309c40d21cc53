"""The state of the database before one pass of the sealer: the events without a seal, and the last checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from authsec_server.audit import pages
from authsec_server.audit.event_numbers import (
    Numbers,
    is_disturbed,
    last_given,
    looked_through_since,
    numbers_after,
)
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.pauses import pause
from authsec_server.audit.sealing.seal_places import SealPlaces, planted
from authsec_server.audit.sealing.sealable import Sealable, sealable_events, usual_events
from authsec_server.audit.sealing.succession import Succession, is_next
from authsec_server.audit.unreadable_rows import MOST_COPIES, numbers_fitting
from authsec_server.db import Tx

# After this time, an event is settled. Before, an event with a lower number may still be committed, and a refusal may
# still be counted. The time is much longer than a transaction, and than the difference between servers' clocks.
SETTLING = timedelta(minutes=5)
BATCH = 500  # events; on SQLite, token requests wait while a batch is written
MOST_NAMED = 10  # refused events that one pass names in the server's log


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsealedEvents:
    """The state of the database before sealing: its last checkpoint, and the events to seal.

    `refused` are numbers of events that get no seal. AuthSec did not write such an event, the database did not give its
    number, or an earlier event has the same number.
    Once `events` are sealed, every other event numbered up to `settled` has a seal.
    Every event numbered up to `final` is committed, and no refusal among these events gets further occurrences.
    Events numbered above `top` were recorded after this state was read. No event has a number above `highest`.
    `planted` are the places and event numbers of seals that the last checkpoint does not cover.
    """

    signed: str | None
    events: Sequence[Sealable]
    refused: Sequence[int]
    full: bool
    settled: int
    final: int
    top: int
    highest: int
    planted: Sequence[tuple[int, int]]
    following: Numbers
    is_disturbed: bool  # whether the sequence of event numbers needs a correction
    version: int  # the authority version
    signing_keys: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a pass starts: after the event number `after`. The last checkpoint covers the numbers up to `through`.

    The numbers up to `old` existed minutes ago. `named` refused events are in the server's log.
    On PostgreSQL, no other running transaction has a number up to `ended`.
    """

    now: datetime
    after: int
    through: int
    old: int
    ended: int | None
    places: SealPlaces
    named: int


def read_unsealed(tx: Tx, start: Start, token_keys: Callable[[Tx], Sequence[str]], order: Succession) -> UnsealedEvents:
    """Read the state before a pass.

    `token_keys` lists the keys that sign tokens, and `order` has the order of the sealing keys.
    """
    connection, now, after, through = tx.connection, start.now, start.after, start.through
    growing = store.Growing(since=now.replace(second=0, microsecond=0) - SETTLING, until=now + SETTLING, old=start.old)
    following = numbers_after(connection, through)
    pause()
    top = min(last_given(connection), following.last)  # after `tx` has read: a sequence has no snapshots
    found = store.unsealed(connection, after=after, top=top, growing=growing, places=start.places, limit=BATCH)
    pause()
    numbers, full = list(dict.fromkeys(number for number, _ in found)), len(found) == BATCH
    taken = {number for number, is_taken in found if is_taken}
    copied: Mapping[int, int] = {}
    events = None if taken else usual_events(connection, numbers, tx.event_key)
    if events is None:
        copied = store.copied(connection, numbers)
        readable = [each for each in numbers if copied.get(each, 1) <= MOST_COPIES and each not in taken]
        if (fitting := numbers_fitting(connection, readable)) != readable:
            numbers, full = [each for each in numbers if each <= fitting[-1]], True
        events = sealable_events(connection, fitting, looked_through_since(now), tx.event_key)
    pause()
    bounds = _bounds(connection, start, top, growing)
    pause()
    final = min(bounds)
    waiting = _waiting(connection, events, final, looked_through_since(now))
    events = [each for each in events if each.number not in waiting]
    # A replaced key signs one last checkpoint, which ends with the event that has the record of the replacement.
    replacing = [each.number for each in events if each.kind == EventKind.SEAL_KEY_REPLACED]
    records = sorted(store.replacing(connection, replacing))
    if replaced := next((number for number, signed in records if is_next(signed, order)), None):
        numbers, full = numbers[: numbers.index(replaced) + 1], True
        events = [each for each in events if each.number <= replaced]
    if connection.dialect.name == "postgresql":
        bounds.append(max([following.sealed, *(each.number for each in events)]))  # later events get higher numbers
    if full:
        bounds.append(numbers[-1])
    pause()
    above = store.above(connection, top, MOST_NAMED + start.named)
    highest = pages.highest(connection, top)
    return UnsealedEvents(
        signed=store.last_signed(connection),
        events=events,
        refused=sorted(({*numbers, *above} - {each.number for each in events} - waiting) | set(copied)),
        full=full,
        settled=min(bounds),
        final=final,
        top=numbers[-1] if full else highest,
        highest=max(highest, following.sealed),
        planted=planted(connection, start.places.size),
        following=following,
        is_disturbed=is_disturbed(connection, following),
        version=tx.version,
        signing_keys=token_keys(tx),
    )


def _bounds(connection: Connection, start: Start, top: int, growing: store.Growing) -> list[int]:
    """Return upper bounds of the settled numbers, from the times of events and from running transactions.

    On PostgreSQL, the times alone are not enough, because the clock of another server may be behind.
    """
    now = start.now
    bounds = [pages.last_before(connection, now - SETTLING, top)]
    if start.ended is not None:
        bounds.append(start.ended)
    firsts = [store.first_growing(connection, after=start.after, growing=growing)]
    if connection.dialect.name == "postgresql":
        # An inserted event with an old time must not settle lower numbers: new events may still get these numbers.
        low = max(start.through, start.old)
        firsts.append(store.first_dated(connection, after=low, since=now - SETTLING, until=now + SETTLING))
    return bounds + [first - 1 for first in firsts if first is not None]


def _waiting(connection: Connection, events: Sequence[Sealable], settled: int, since: datetime) -> frozenset[int]:
    """Return the unsettled numbers of events dated before `since`. These events wait for their seals.

    The reason: on PostgreSQL, a server that takes a number does not compare it with such events. So a new event may
    still get the same number.
    """
    if connection.dialect.name != "postgresql":
        return frozenset()
    return frozenset(each.number for each in events if each.at < since and each.number > settled)
