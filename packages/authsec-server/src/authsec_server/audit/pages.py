"""Pages of the journal, by number. Each costs the same, however long the journal is and however rare what is wanted.

An index leads to candidates, in order, and only so many of them are looked at for one page. Times become numbers first:
an index on numbers finds both where a client's events go on and where they begin.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    Select,
    Text,
    cast,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from authsec_server.audit.filters import EventFilter, JournalPage
from authsec_server.audit.leaves import event_hash
from authsec_server.audit.model import Decision, EventKind, Recorded, Seal
from authsec_server.audit.store import ACT, DENIED, events, recorded, sealed_events

CANDIDATES = 5000
# Numbers follow time only nearly: transactions overlap, and the clocks of servers differ.
_OUT_OF_ORDER = timedelta(minutes=10)

_Columns = ReadOnlyColumnCollection[str, Any]
_Conditions = list[ColumnElement[bool]]


def newest(connection: Connection, wanted: EventFilter, *, before: int | None, limit: int) -> JournalPage:
    """The newest that are wanted, below `before`."""
    bound = [] if before is None else [events.c.id < before]
    return _page(connection, wanted, [*bound, *_in_time(connection, wanted)], limit, events.c.id.desc())


def following(connection: Connection, wanted: EventFilter, *, after: int, limit: int) -> JournalPage:
    """The oldest that are wanted, above `after`, in the order of their numbers."""
    return _page(connection, wanted, [events.c.id > after, *_in_time(connection, wanted)], limit, events.c.id.asc())


def by_id(connection: Connection, number: int) -> Recorded | None:
    """The event with this number."""
    row = connection.execute(select(events).where(events.c.id == number)).one_or_none()
    return None if row is None else _sealed(connection, [_hashed(row)])[0]


def token_issued(connection: Connection, jti: str) -> Recorded | None:
    """The event by which the token was issued."""
    statement = select(events).where(events.c.jti == jti, events.c.kind == EventKind.TOKEN_ISSUED)
    row = connection.execute(statement).one_or_none()
    return None if row is None else recorded(row)


def highest_version(connection: Connection) -> int:
    """The highest authority version of any event; 0 before the first. Reads every event."""
    version: int | None = connection.execute(select(func.max(events.c.authority_version))).scalar_one()
    return version or 0


def highest(connection: Connection) -> int:
    """The highest number to be seen; 0 in an empty journal."""
    number: int | None = connection.execute(select(func.max(events.c.id))).scalar_one()
    return number or 0


def by_ids(connection: Connection, numbers: Collection[int]) -> list[Recorded]:
    """The events with these numbers, in order."""
    rows = connection.execute(select(events).where(events.c.id.in_(numbers)).order_by(events.c.id))
    return [_hashed(row) for row in rows]


def above(connection: Connection, number: int, limit: int) -> list[Recorded]:
    """The next events, in order."""
    statement = select(events).where(events.c.id > number).order_by(events.c.id).limit(limit)
    return [recorded(row) for row in connection.execute(statement)]


def numbers_between(connection: Connection, floor: int, top: int) -> set[int]:
    """The numbers above `floor` and up to `top` that are to be seen."""
    return set(connection.execute(select(events.c.id).where(events.c.id > floor, events.c.id <= top)).scalars())


def last_before(connection: Connection, at: datetime) -> int:
    """The number of the last event before that time; 0 when there is none."""
    earlier = select(events.c.id).where(events.c.at < at).order_by(events.c.at.desc()).limit(1)
    return connection.execute(earlier).scalar_one_or_none() or 0


def mentions(columns: _Columns, delegation_id: str) -> ColumnElement[bool]:
    """Whether the event is about the delegation. No name can pretend it: the quotes in one are escaped (JSON)."""
    return cast(columns.delegations, Text).contains(f'"id": "{delegation_id}"', autoescape=True)


def _page(
    connection: Connection, wanted: EventFilter, bounds: _Conditions, limit: int, order: ColumnElement[int]
) -> JournalPage:
    _plan_for_what_is_asked(connection)
    in_order = candidates(wanted, bounds).order_by(order).limit(CANDIDATES)
    looked_at = in_order.subquery("candidates")
    # In the candidates' order: both databases stream them. To ask for it once more would have SQLite read all of them
    # for the first few; that no page skips or repeats is tested as a property.
    statement = select(looked_at).where(*_conditions(looked_at.c, wanted)).limit(limit + 1)
    found = [_hashed(row) for row in connection.execute(statement)]
    if len(found) > limit:
        return JournalPage(items=_sealed(connection, found[:limit]), next=found[limit - 1].id)
    last = in_order.with_only_columns(events.c.id).offset(CANDIDATES - 1).limit(1)
    return JournalPage(items=_sealed(connection, found), next=connection.execute(last).scalar_one_or_none())


def _hashed(row: Row[Any]) -> Recorded:
    """The event in this row, with its leaf as it stands: to be compared with that of its seal."""
    return replace(recorded(row), leaf=event_hash(row._asdict()).hex())


def _sealed(connection: Connection, found: Sequence[Recorded]) -> tuple[Recorded, ...]:
    """The same, each with its seal. Asked for besides: joined, it would have each candidate looked for in the log."""
    seals = sealed_events.c
    which = seals.event_id.in_([each.id for each in found])
    leaf = cast(seals.hash, LargeBinary).label("leaf")  # whoever writes by hand can make it a text on SQLite
    rows = connection.execute(select(seals.event_id, seals.position, leaf).where(which)) if found else ()
    its = {row.event_id: Seal(place=row.position, leaf=bytes(row.leaf).hex()) for row in rows}
    return tuple(replace(each, seal=its.get(each.id)) for each in found)


def _plan_for_what_is_asked(connection: Connection) -> None:
    """Have PostgreSQL plan each statement of this transaction by its values, however often it was asked before.

    One plan for all of them follows an index that is good for what is frequent, and reads a million events for a reason
    that was never given.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


def candidates(wanted: EventFilter, bounds: _Conditions) -> Select[Any]:
    """The events among which those that are wanted must be."""
    return select(events).where(*_led_to(wanted), *bounds)


def _led_to(wanted: EventFilter) -> _Conditions:
    """The conditions for which there is an index, of the most selective kind that is asked for."""
    columns = events.c
    if wanted.request_id:
        return [columns.request_id == wanted.request_id]
    if wanted.jti:
        return [columns.jti == wanted.jti]
    denied: _Conditions = [literal_column(DENIED)] if wanted.only_refusals else []
    if wanted.client_id:
        return [columns.client_id == wanted.client_id, *denied]
    if wanted.subject_id:
        return [columns.subject_id == wanted.subject_id]
    if wanted.principal:
        return [columns.principal_kind == wanted.principal[0], columns.principal_id == wanted.principal[1]]
    if wanted.reason:
        return [columns.reason == wanted.reason, *denied]
    if wanted.only_acts:
        single: _Conditions = [columns.kind == next(iter(wanted.kinds))] if len(wanted.kinds) == 1 else []
        return [literal_column(ACT), *single]
    return denied


def _conditions(columns: _Columns, wanted: EventFilter) -> _Conditions:
    """All that is asked for."""
    equal = {
        "decision": wanted.decision,
        "reason": wanted.reason,
        "client_id": wanted.client_id,
        "subject_id": wanted.subject_id,
        "address": wanted.address,
        "request_id": wanted.request_id,
        "jti": wanted.jti,
    }
    conditions: _Conditions = [columns[name] == value for name, value in equal.items() if value]
    if wanted.only_refusals:
        conditions.append(columns.decision == Decision.DENIED)
    if wanted.kinds:
        conditions.append(columns.kind.in_(sorted(wanted.kinds)))
    if wanted.principal:
        conditions += [columns.principal_kind == wanted.principal[0], columns.principal_id == wanted.principal[1]]
    if wanted.delegation_id:
        conditions.append(mentions(columns, wanted.delegation_id))
    return conditions


def _in_time(connection: Connection, wanted: EventFilter) -> _Conditions:
    """From `since` and before `until`, and the numbers that this leaves."""
    at, number = events.c.at, events.c.id
    conditions: _Conditions = []
    if wanted.since is not None:
        conditions += [at >= wanted.since, number > last_before(connection, wanted.since - _OUT_OF_ORDER)]
    if wanted.until is not None:
        later = select(number).where(at >= wanted.until + _OUT_OF_ORDER).order_by(at).limit(1)
        conditions.append(at < wanted.until)
        if (bound := connection.execute(later).scalar_one_or_none()) is not None:
            conditions.append(number < bound)
    return conditions
