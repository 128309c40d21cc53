"""Pages of the audit log, ordered by event number.

The cost of a page does not depend on the length of the log or on the number of matches.
A database index finds candidates in order, and one page reads a bounded number of candidates.
A filter by time is first turned into a range of event numbers (`number_ranges`).
No query searches the text of a JSON column.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    Select,
    case,
    cast,
    false,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from authsec_server.audit import number_ranges
from authsec_server.audit.event_shape import MAX_NUMBER, is_event
from authsec_server.audit.filters import AuditLogPage, EventFilter
from authsec_server.audit.merkle_tree import event_hash
from authsec_server.audit.model import Decision, EventKind, Recorded, Seal
from authsec_server.audit.store import (
    ACT,
    DENIED,
    event_delegations,
    event_in,
    events,
    sealed_events,
    stand_in,
    unreadable,
)
from authsec_server.audit.unreadable_rows import Size, fitting, numbers_fitting, read_events, read_numbered, sizes_of
from authsec_server.db.matching import in_batches
from authsec_server.db.versions import HIGHEST_LIKELY_VERSION
from authsec_server.failures import Conflict

CANDIDATES = 5000
_LATEST = 100  # one of the latest events has the highest number
_NAMESAKES = 10  # events of one token that are looked at
_TIMES = 500  # or numbers of events to read, in one statement
_NUMBERS = 100_000  # of deletions at these times, in memory at once

# The order is by place in the sealed log, because raw SQL can later insert an event with a low number, but not with a
# low place. Events that are not sealed yet come last.
# Raw SQL can insert a seal before the first one. If it removes the unique index, an event can have several seals.
_SEAL = (sealed_events.c.event_id == events.c.id, sealed_events.c.position + 0 >= 0)  # not by an index of places
_PLACE = select(func.min(sealed_events.c.position)).where(*_SEAL).scalar_subquery()
_SEALED_FIRST = (func.coalesce(_PLACE, 2**63 - 1), events.c.id)
# Raw SQL can give a reserved number to another event of a token, and insert the event before the genuine one is sealed.
# So of a token, the event of the issue comes first. `verify` finds a second one, and one after the revocation. Events
# of a request have no such order: raw SQL can insert a token into the request of a change.
_TOKEN_FIRST = (case((events.c.kind == EventKind.TOKEN_ISSUED, 0), else_=1), *_SEALED_FIRST)

_Columns = ReadOnlyColumnCollection[str, Any]
_Conditions = list[ColumnElement[bool]]


def newest(connection: Connection, wanted: EventFilter, *, before: int | None, limit: int) -> AuditLogPage:
    """Return the newest matching events with numbers below `before`, or of the whole log if `before` is None."""
    number = _number(wanted)
    bound = [] if before is None else [number < before]
    return _page(connection, wanted, [*bound, *_in_time(connection, wanted)], limit, number.desc())


def following(connection: Connection, wanted: EventFilter, *, after: int, limit: int) -> AuditLogPage:
    """Return the oldest matching events with numbers above `after`, in the order of their numbers."""
    number = _number(wanted)
    return _page(connection, wanted, [number > after, *_in_time(connection, wanted)], limit, number.asc())


def by_id(connection: Connection, number: int) -> Recorded | None:
    """Return the event with this number; None if there is no such event.

    Raises `Conflict` if raw SQL made the event unreadable, or if an index returns an event with another number.
    """
    found = [_hashed(each) for each in read_numbered(connection, [number])]
    if any(each.id != number for each in found):
        raise _reads_wrong_index(f"event {number}")
    if found and found[0].event.kind is EventKind.EVENT_UNREADABLE:
        raise unreadable(number)
    return _sealed(connection, found[:1])[0] if found else None


def token_issued(connection: Connection, jti: str, *, expires_after: datetime | None = None) -> Recorded | None:
    """Return the event that records the issue of the token with this `jti`; None without such an event.

    Raw SQL may have added events with the same `jti`, so sealed events come first.
    The first readable event is returned. With `expires_after`, events of tokens that expire earlier are left out.
    Raises `Conflict` if no event can be read, or if an index returns the event of another token.
    """
    statement = select(events).where(events.c.jti == jti, events.c.kind == EventKind.TOKEN_ISSUED)
    if expires_after is not None:
        statement = statement.where(events.c.expires_at > expires_after)
    found = _read(connection, statement.order_by(*_SEALED_FIRST).limit(_NAMESAKES))
    issued = next((each for each in found if each.event.kind is EventKind.TOKEN_ISSUED), None)
    if found and issued is None:
        raise unreadable(found[0].id)
    if issued and issued.event.jti != jti:
        raise _reads_wrong_index(f"the token {jti}")
    return issued


def first_sealed(connection: Connection, wanted: EventFilter, limit: int) -> tuple[Recorded, ...]:
    """Return the first matching events of a request or a token, in the order of sealing.

    Of a token, the event of its issue comes first. The attack: raw SQL inserts many events later, which push the real
    ones off the page.
    """
    _plan_for_what_is_asked(connection)
    conditions = [*_led_to(wanted), *_conditions(events.c, wanted)]
    order = _TOKEN_FIRST if wanted.jti else _SEALED_FIRST
    return _sealed(connection, _in_order_of_sealing(connection, conditions, order, limit))


def deleted_roles(connection: Connection, times: Collection[datetime]) -> Iterator[Recorded]:
    """Yield all events of roles that were deleted at exactly these times, in batches.

    The order of sealing decides nothing here. The attack: raw SQL reserves numbers just before the deletion of a role.
    Before the seal of its event, it inserts deletions of other roles under these numbers, so they are sealed first.
    """
    for some in in_batches(set(times), _TIMES):
        # A server writes no `count_key` here. With this condition, SQLite finds the events in the order of the times.
        conditions = [events.c.at.in_(some), events.c.kind == EventKind.ROLE_DELETED, events.c.count_key.is_(None)]
        its = select(events.c.id).where(*conditions).order_by(events.c.id).limit(_NUMBERS)
        last = 0
        while numbers := _different(connection, its.where(events.c.id > last)):
            last = numbers[-1]
            yield from _read_in_batches(connection, numbers, conditions)


def _read_in_batches(connection: Connection, numbers: list[int], conditions: _Conditions) -> Iterator[Recorded]:
    """Yield the matching events with these numbers, in order. In memory are as many events as fit together."""
    first = 0
    while first < len(numbers):
        together = numbers_fitting(connection, numbers[first : first + _TIMES])
        yield from _read_in_this_order(connection, together, conditions)
        first += len(together)


def _in_order_of_sealing(
    connection: Connection, conditions: _Conditions, order: Sequence[ColumnElement[Any]], limit: int
) -> list[Recorded]:
    """Return the first matching events, as many as fit into memory together."""
    # Of all matching events, only the numbers are sorted.
    numbers = _different(connection, select(events.c.id).where(*conditions).order_by(*order).limit(limit))
    return _read_in_this_order(connection, numbers_fitting(connection, numbers), conditions)[:limit]


def _different(connection: Connection, numbers: Select[Any]) -> list[int]:
    return list(dict.fromkeys(connection.execute(numbers).scalars()))


def _read_in_this_order(connection: Connection, numbers: Sequence[int], conditions: _Conditions) -> list[Recorded]:
    """Return the matching events with these numbers. `numbers_fitting` must have returned the numbers."""
    place = {number: at for at, number in enumerate(numbers)}
    found = [_hashed(each) for each in read_numbered(connection, place, *conditions)]
    return sorted(found, key=lambda each: place.get(each.id, len(place)))


def _reads_wrong_index(wanted: str) -> Conflict:
    """Return the error: by its index, the database found another event than the requested one.

    The attack: raw SQL changes an index. The database does not compare the row that it finds with the requested key.
    """
    return Conflict(
        f"AuthSec asked the database for the event of {wanted}, and the database returned another event. Its index "
        "was changed.",
        "See what was changed: authsec audit verify",
    )


def highest_version(connection: Connection) -> int:
    """Return the highest plausible authority version of any event; 0 without events. Reads all events."""
    likely = events.c.authority_version <= HIGHEST_LIKELY_VERSION
    version: int | None = connection.execute(select(func.max(events.c.authority_version)).where(likely)).scalar_one()
    return version or 0


def highest(connection: Connection, at_most: int | None = None) -> int:
    """Return the highest visible event number that is not above `at_most`; 0 if there is none."""
    bound = [] if at_most is None else [events.c.id <= at_most]
    number: int | None = connection.execute(select(func.max(events.c.id)).where(*bound)).scalar_one()
    return number or 0


def by_ids(connection: Connection, numbers: Collection[int]) -> list[Recorded]:
    """Return the events with these numbers, in the order of their numbers, as many as fit into memory together."""
    return [
        _hashed(each) for each in read_numbered(connection, numbers_fitting(connection, sorted(numbers)[:CANDIDATES]))
    ]


def above(connection: Connection, number: int, limit: int) -> list[Recorded]:
    """Return the next events with numbers above this one, in the order of their numbers.

    At most `limit` events are returned, and not more than fit into memory together.
    """
    statement = select(events).where(events.c.id > number).order_by(events.c.id)
    sizes = sizes_of(connection, statement.limit(limit))
    limit = fitting(sizes)
    return _read(connection, statement.limit(limit), sizes[:limit])


def numbers_between(connection: Connection, floor: int, top: int) -> set[int]:
    """Return the visible event numbers above `floor` and up to `top`."""
    return set(connection.execute(select(events.c.id).where(events.c.id > floor, events.c.id <= top)).scalars())


def newest_numbers(connection: Connection, limit: int) -> list[int]:
    """Return the highest visible event numbers, in descending order."""
    return list(connection.execute(select(events.c.id).order_by(events.c.id.desc()).limit(limit)).scalars())


def last_before(connection: Connection, at: datetime, at_most: int = MAX_NUMBER) -> int:
    """Return the number of the event with the latest time before `at`; 0 if there is none.

    Events numbered above `at_most` are left out.
    """
    earlier = select(events.c.id).where(events.c.at < at, events.c.id <= at_most).order_by(events.c.at.desc()).limit(1)
    return connection.execute(earlier).scalar_one_or_none() or 0


def highest_before(connection: Connection, at: datetime) -> int:
    """Return the highest number of the latest events before `at`; 0 if there is none.

    Raw SQL can insert an event with a low number and a late time. So not only the latest event is read.
    """
    latest = select(events.c.id).where(events.c.at < at).order_by(events.c.at.desc()).limit(_LATEST).subquery()
    number: int | None = connection.execute(select(func.max(latest.c.id))).scalar_one()
    return number or 0


def _page(
    connection: Connection, wanted: EventFilter, bounds: _Conditions, limit: int, order: ColumnElement[int]
) -> AuditLogPage:
    _plan_for_what_is_asked(connection)
    in_order = candidates(wanted, bounds).order_by(order).limit(CANDIDATES)
    looked_at = in_order.subquery("candidates")
    # Without a second ORDER BY: both databases return the rows in the order of the candidates, which a property test
    # checks. With a second ORDER BY, SQLite would read all candidates for the first few rows.
    statement = select(looked_at).where(*_conditions(looked_at.c, wanted))
    sizes = sizes_of(connection, statement.limit(limit + 1))
    limit = min(limit, fitting(sizes))
    found = _read(connection, statement.limit(limit + 1), sizes[: limit + 1])
    if len(found) > limit:
        return AuditLogPage(items=_sealed(connection, found[:limit]), next=found[limit - 1].id)
    last = in_order.with_only_columns(events.c.id).offset(CANDIDATES - 1).limit(1)
    return AuditLogPage(items=_sealed(connection, found), next=connection.execute(last).scalar_one_or_none())


def _read(connection: Connection, statement: Select[Any], sizes: Sequence[Size] | None = None) -> list[Recorded]:
    """Return the events of this query, in order. An event that cannot be read is replaced by a placeholder."""
    return [_hashed(each) for each in read_events(connection, statement, sizes)]


def _hashed(row: Row[Any] | int) -> Recorded:
    """Return the event in this row with the current hash of the row. Callers compare the hash with the event's seal."""
    if isinstance(row, int):
        return stand_in(row)
    its = row._asdict()
    return replace(event_in(row), leaf=event_hash(its).hex()) if is_event(its) else stand_in(row.id, row.at)


def _sealed(connection: Connection, found: Sequence[Recorded]) -> tuple[Recorded, ...]:
    """Add the seal to each event.

    The seals are read by a separate query, because a join would look up every candidate in the sealed log.
    """
    seals = sealed_events.c
    which = seals.event_id.in_([each.id for each in found])
    leaf = cast(seals.hash, LargeBinary).label("leaf")  # raw SQL can store a text here on SQLite
    leaves = connection.execute(select(seals.event_id, seals.position, leaf).where(which)) if found else ()
    its = {row.event_id: Seal(place=row.position, leaf=bytes(row.leaf).hex()) for row in leaves}
    return tuple(replace(each, seal=its.get(each.id)) for each in found)


def _plan_for_what_is_asked(connection: Connection) -> None:
    """Make PostgreSQL plan each statement of this transaction for its actual values, even if it ran often before.

    A generic plan uses the database index that suits frequent values.
    For example, a generic plan for a rare refusal reason reads a million events.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


def candidates(wanted: EventFilter, bounds: _Conditions) -> Select[Any]:
    """Select the events that can match the filter: all events that the most selective database index finds."""
    if wanted.delegation_id:
        links = event_delegations.c
        statement = select(events).join(event_delegations, links.event_id == events.c.id)
        return statement.where(links.delegation_id == wanted.delegation_id, *bounds)
    return select(events).where(*_led_to(wanted), *bounds)


def _number(wanted: EventFilter) -> ColumnElement[int]:
    """Return the event number column by which the candidates are ordered."""
    return event_delegations.c.event_id if wanted.delegation_id else events.c.id


def _led_to(wanted: EventFilter) -> _Conditions:
    """Return the conditions that the most selective database index can evaluate."""
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
    """Return all conditions of the filter except time and delegation."""
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
    return conditions


def _in_time(connection: Connection, wanted: EventFilter) -> _Conditions:
    """Return the conditions for `since` and `until`, and for the range of event numbers of that time."""
    if wanted.since is None and wanted.until is None:
        return []
    numbers = number_ranges.between(connection, wanted.since, wanted.until)
    if numbers is None:
        return [false()]
    conditions: _Conditions = [_number(wanted).between(*numbers)]
    if wanted.since is not None:
        conditions.append(events.c.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(events.c.at < wanted.until)
    return conditions
