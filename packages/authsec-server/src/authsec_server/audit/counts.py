"""Numbers of requests and last uses: the counts that the roll-up stored, plus the events not counted yet.

The numbers are exact, because each query also reads the events of the last few minutes.
These events are read one after the other, and only numbers about the requested subjects are in memory. The attack: raw
SQL inserts very many or very long events.
Stored counts and events must come from one snapshot, so these functions work only in a `read` transaction.
No function in this module checks the principal's role. The caller must check the role.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Subquery,
    Text,
    case,
    cast,
    func,
    literal_column,
    select,
    type_coerce,
    union_all,
)

from authsec_server.audit.counting import NEVER, LastUse, Outcome, day_of, hour_of
from authsec_server.audit.event_shape import MAX_OCCURRENCES
from authsec_server.audit.model import EventKind
from authsec_server.audit.rollup import is_not_counted, progress_of
from authsec_server.audit.store import REFUSED, client_counts, daily_uses, events, hourly_counts
from authsec_server.audit.store import last_uses as kept_uses
from authsec_server.audit.unreadable_rows import LONGEST_ROW, octets, read_content, readable, readable_stream
from authsec_server.db import Instant, Tx
from authsec_server.db.database import Access
from authsec_server.db.matching import in_batches

_HOUR = timedelta(hours=1)
_SHORT = 2**14  # stored bytes of the JSON columns of an event; longer events are read one by one
_AT_ONCE = 500
_JSON = ("delegations", "roles", "detail")
MOST_ACTIONS = 100_000  # that are counted; no agent has so many
MOST_LATELY = 30_000  # subjects that were first used in the last few minutes; SQLite takes about so many values


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The numbers of tokens issued and refused in one time step of a series. The step begins at `at`."""

    at: datetime
    issued: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The numbers of tokens issued and refused."""

    issued: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedRefusal:
    """A client that was refused many times for the same reason."""

    client_id: str
    reason: str
    count: int


def series(
    tx: Tx, start: datetime, end: datetime, step: timedelta, *, client_id: str | None = None, reason: str = ""
) -> list[Point]:
    """Return the numbers of tokens issued and refused in each step from `start` to `end`.

    A step is a number of whole hours. The result includes steps without tokens.
    `reason` restricts the refusals to that reason.
    `start` is rounded down and `end` is rounded up to a whole hour (UTC).
    Raises `ValueError` if the step is not a number of whole hours.
    """
    if step < _HOUR or step % _HOUR:
        raise ValueError("step must be a whole number of hours")
    start, end = _whole_hours(start, end)
    hours = _hours(tx, start, end, client_id)
    sums = select(hours.c.hour, hours.c.kind, func.sum(hours.c.occurrences)).group_by(hours.c.hour, hours.c.kind)
    if reason:
        sums = sums.where(hours.c.reason == reason)
    found: Counter[tuple[int, str]] = Counter()
    for hour, kind, occurrences in readable(tx.connection, sums):
        found[(hour - start) // step, kind] += int(occurrences)
    return [
        Point(
            at=start + number * step,
            issued=found[number, EventKind.TOKEN_ISSUED],
            refused=found[number, EventKind.TOKEN_REFUSED],
        )
        for number in range(-((start - end) // step))
    ]


def totals(tx: Tx, start: datetime, end: datetime, *, client_id: str | None = None) -> Totals:
    """Return the total numbers of tokens issued and refused from `start` to `end`, both rounded to whole hours.

    `start` is rounded down and `end` is rounded up.
    """
    hours = _hours(tx, *_whole_hours(start, end), client_id)
    rows = readable(tx.connection, select(hours.c.kind, func.sum(hours.c.occurrences)).group_by(hours.c.kind))
    found = {kind: int(occurrences) for kind, occurrences in rows}
    return Totals(issued=found.get(EventKind.TOKEN_ISSUED, 0), refused=found.get(EventKind.TOKEN_REFUSED, 0))


def refusals_by_reason(tx: Tx, start: datetime, end: datetime, *, client_id: str | None = None) -> dict[str, int]:
    """Return the number of refusals for each reason from `start` to `end`, most frequent reason first.

    `start` is rounded down and `end` is rounded up to a whole hour.
    """
    hours = _hours(tx, *_whole_hours(start, end), client_id)
    often = func.sum(hours.c.occurrences)
    statement = select(hours.c.reason, often).where(hours.c.kind == EventKind.TOKEN_REFUSED).group_by(hours.c.reason)
    rows = readable(tx.connection, statement.order_by(often.desc(), hours.c.reason))
    return {reason: int(occurrences) for reason, occurrences in rows}


def repeated_refusals(tx: Tx, since: datetime, at_least: int, *, limit: int = 20) -> list[RepeatedRefusal]:
    """List clients that were refused for the same reason `at_least` times, most refused first.

    Only refusals since the beginning of the hour of `since` are included.
    """
    since = hour_of(since)
    kept = select(client_counts.c.client_id, client_counts.c.reason, client_counts.c.occurrences).where(
        literal_column(REFUSED), client_counts.c.hour >= since
    )
    late = _tail(tx, events.c.client_id, events.c.reason, events.c.occurrences).where(
        _time(tx) >= since, events.c.kind == EventKind.TOKEN_REFUSED, events.c.client_id.is_not(None)
    )
    both = union_all(kept, late).subquery()
    often = func.sum(both.c.occurrences)
    statement = select(both.c.client_id, both.c.reason, often).group_by(both.c.client_id, both.c.reason)
    statement = statement.having(often >= at_least).order_by(often.desc(), both.c.client_id, both.c.reason).limit(limit)
    rows = readable(tx.connection, statement)
    return [RepeatedRefusal(client_id=client, reason=reason, count=int(count)) for client, reason, count in rows]


def last_uses(tx: Tx, subject_ids: Collection[str]) -> dict[str, LastUse]:
    """Return the last use of each client, delegation, role or proof. Ids that were never used are left out."""
    return _last_uses(tx, subject_ids, _late_outcomes(tx))


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """The ids of all clients, delegations, roles and proofs that were ever used for a token.

    `kept` is the query for the stored ids. `lately` contains the ids that are not in the stored counts yet.
    """

    kept: Select[tuple[str]]
    lately: frozenset[str]


def used(tx: Tx) -> Used:
    """Return the ids of all clients, delegations, roles and proofs that were ever used for a token."""
    kept = select(kept_uses.c.subject_id).where(kept_uses.c.granted_at.is_not(None))
    lately, looked_up = set[str](), set[str]()
    for outcome in _late_outcomes(tx, kind=EventKind.TOKEN_ISSUED):
        looked_up |= outcome.subjects - lately
        if len(looked_up) >= _AT_ONCE:
            lately |= _without(tx, looked_up, kept)
            looked_up.clear()
        if len(lately) > MOST_LATELY:
            break
    return Used(kept=kept, lately=frozenset(lately | _without(tx, looked_up, kept)))


def _without(tx: Tx, ids: Collection[str], kept: Select[tuple[str]]) -> set[str]:
    """Return the ids that are not in the stored counts."""
    known = (tx.connection.execute(kept.where(kept_uses.c.subject_id.in_(some))) for some in in_batches(ids))
    return set(ids).difference(*(rows.scalars() for rows in known))


def is_any_used(tx: Tx) -> bool:
    """Return whether any token was ever issued."""
    kept = select(kept_uses.c.subject_id).where(kept_uses.c.granted_at.is_not(None)).limit(1)
    if tx.connection.execute(kept).first() is not None:
        return True
    return any(True for _ in _late_outcomes(tx, kind=EventKind.TOKEN_ISSUED))


def last_tokens(tx: Tx, client_ids: Collection[str]) -> dict[str, datetime]:
    """Return the time of each client's last token. Clients without a token are left out."""
    return _granted(_last_uses(tx, client_ids, _late_outcomes(tx, client_ids=client_ids)))


def proof_last_uses(tx: Tx, proof_ids: Collection[str]) -> dict[str, datetime]:
    """Return the time of the last token issued for each proof. Unused proofs are left out."""
    return _granted(last_uses(tx, proof_ids))


def actions_used(tx: Tx, subject_ids: Collection[str], since: datetime) -> dict[str, int]:
    """Return for each action the number of tokens with that action, since the day of `since` (UTC).

    Only tokens of these clients, delegations or roles are counted.
    A token of several of these subjects is counted once for each subject.
    """
    if not subject_ids:
        return {}
    since = day_of(since)
    sums = select(daily_uses.c.action, func.sum(daily_uses.c.tokens)).group_by(daily_uses.c.action)
    sums = sums.where(daily_uses.c.subject_id.in_(subject_ids), daily_uses.c.day >= since)
    found = Counter({action: int(tokens) for action, tokens in tx.connection.execute(sums.limit(MOST_ACTIONS))})
    wanted = frozenset(subject_ids)
    for outcome in _late_outcomes(tx, since, kind=EventKind.TOKEN_ISSUED):
        times = outcome.occurrences * len((outcome.subjects - {outcome.proof_id}) & wanted)
        for action in outcome.actions if times else ():
            if action in found or len(found) < MOST_ACTIONS:
                found[action] += times
    return dict(sorted(found.items()))


def _last_uses(tx: Tx, subject_ids: Collection[str], late: Iterable[Outcome]) -> dict[str, LastUse]:
    statement = select(kept_uses).where(kept_uses.c.subject_id.in_(subject_ids))
    found: dict[str, LastUse] = {}
    for row in tx.connection.execute(statement):  # one for each month
        use = LastUse(granted_at=row.granted_at, refused_at=row.refused_at, refused_reason=row.refused_reason or "")
        found[row.subject_id] = found.get(row.subject_id, NEVER).and_later(use)
    wanted = frozenset(subject_ids)
    for outcome in late:
        for subject in outcome.subjects & wanted:
            if (later := outcome.use_of(subject)) is not None:
                found[subject] = found.get(subject, NEVER).and_later(later)
    return found


def _granted(uses: dict[str, LastUse]) -> dict[str, datetime]:
    return {subject: use.granted_at for subject, use in uses.items() if use.granted_at is not None}


def _hours(tx: Tx, start: datetime, end: datetime, client_id: str | None) -> Subquery:
    """Select `hour`, `kind`, `reason` and `occurrences` from the stored counts and from events not counted yet."""
    table = hourly_counts if client_id is None else client_counts
    kept = select(table.c.hour, table.c.kind, table.c.reason, table.c.occurrences)
    kept = kept.where(table.c.hour >= start, table.c.hour < end)
    late = _tail(tx, _hour(tx), events.c.kind, events.c.reason, events.c.occurrences)
    late = late.where(_time(tx) >= start, _time(tx) < end)
    if client_id is not None:
        kept = kept.where(client_counts.c.client_id == client_id)
        late = late.where(_not_by_index(events.c.client_id) == client_id)
    return union_all(kept, late).subquery()


def _late_outcomes(
    tx: Tx, since: datetime | None = None, client_ids: Collection[str] | None = None, kind: EventKind | None = None
) -> Iterator[Outcome]:
    """Yield the events that the roll-up has not counted yet. Identical events form one group.

    The time of a group is the time of its latest event. `client_ids` and `kind` restrict the events.
    """
    columns = events.c
    texts = [cast(columns[name], Text).label(name) for name in _JSON]
    alike: list[ColumnElement[Any]] = [columns.kind, columns.reason, columns.client_id, *texts]
    late = _tail(tx, *alike, columns.id, columns.at, columns.occurrences).where(columns.client_id.is_not(None))
    if since is not None:
        late = late.where(_time(tx) >= since)
    if client_ids is not None:
        late = late.where(_not_by_index(columns.client_id).in_(client_ids))
    if kind is not None:
        late = late.where(columns.kind == kind)
    each = late.subquery().c
    size = sum((octets(tx.connection, each[name]) for name in _JSON[1:]), octets(tx.connection, each[_JSON[0]]))
    its = [each.kind, each.reason, each.client_id, *(case((size <= _SHORT, each[name])).label(name) for name in _JSON)]
    of_all = [func.max(each.at).label("at"), func.sum(each.occurrences).label("times"), func.min(each.id).label("id")]
    together = [each.kind, each.reason, each.client_id, *(each[name] for name in _JSON)]
    statement: Select[Any] = select(*its, *of_all, size.label("size")).group_by(*together)
    for row in readable_stream(tx.connection, statement, _AT_ONCE):
        content = row if row.size <= _SHORT else _content_of(tx, row)
        if content is not None and (outcome := _outcome(row, content)) is not None:
            yield outcome


def _content_of(tx: Tx, group: Row[Any]) -> Row[Any] | None:
    """Return the JSON columns of a group of long events; None if no server writes so long ones."""
    if group.size > LONGEST_ROW:
        return None
    texts: list[ColumnElement[Any]] = [cast(events.c[name], Text).label(name) for name in _JSON]
    statement: Select[Any] = select(*texts).where(events.c.id == group.id).limit(1)
    return next(iter(readable(tx.connection, statement)), None)


def _outcome(row: Row[Any], content: Row[Any]) -> Outcome | None:
    """Return the outcome of the grouped events in this row; None if AuthSec did not write the events."""
    its = read_content(row.kind, content.delegations, content.roles, content.detail)
    if its is None:
        return None
    delegations, roles, detail = its
    return Outcome(
        at=row.at,
        kind=EventKind(row.kind),
        reason=row.reason,
        client_id=row.client_id,
        under=tuple(each["id"] for each in [*delegations, *roles]),
        proof_id=detail.get("proof_id"),
        actions=tuple(detail.get("actions") or ()),
        occurrences=int(row.times),
    )


def _tail(tx: Tx, *columns: ColumnElement[Any]) -> Select[Any]:
    """Select these columns from the token decisions that the roll-up has not counted yet."""
    if tx.access is not Access.READ:
        raise RuntimeError("counts must be read in one snapshot: otherwise an event could be counted twice")
    late = is_not_counted(progress_of(tx.connection))
    # Raw SQL can write a huge number. A sum with this number would overflow, and every dashboard would fail on SQLite.
    times = events.c.occurrences.between(1, MAX_OCCURRENCES)
    return select(*columns).where(late, times, events.c.decision.is_not(None))


def _not_by_index(client_id: ColumnElement[str]) -> ColumnElement[str]:
    """Hide the column from its database index.

    With the index, the query would read all events of a client.
    Without the index, it reads only the few events that are not counted yet.
    """
    return func.coalesce(client_id, "")


def _time(tx: Tx) -> ColumnElement[datetime]:
    """Return the column `at`. On SQLite, hide the column from its database index.

    With the index, SQLite would read all events of the requested days.
    """
    if tx.connection.dialect.name == "postgresql":
        return events.c.at
    return func.coalesce(events.c.at, literal_column("''"), type_=Instant)


def _hour(tx: Tx) -> ColumnElement[datetime]:
    if tx.connection.dialect.name == "postgresql":
        return func.date_trunc(literal_column("'hour'::text"), events.c.at, type_=Instant).label("hour")
    day_and_hour = func.substr(events.c.at, 1, len("2026-11-25 12"), type_=Text)
    return type_coerce(day_and_hour + ":00:00.000000", Instant).label("hour")


def _whole_hours(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    last = hour_of(end)
    return hour_of(start), last if last == end else last + _HOUR
