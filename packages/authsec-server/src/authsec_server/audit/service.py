"""Functions to record and read events, with the reader's role checked.

The module `counts` has numbers, `live` serves watchers, and `export` makes exports.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select

from authsec_server.audit import event_batches, pages, partitions, refusal_counts, store
from authsec_server.audit.event_batches import TokenEvent
from authsec_server.audit.event_shape import MAX_NAMED, is_jti, is_request_id
from authsec_server.audit.filters import EVERYTHING, AuditLogPage, EventFilter
from authsec_server.audit.model import EDITS, Event, EventKind, Recorded, Refusal, Tally
from authsec_server.audit.store import events, recorded
from authsec_server.db import Tx
from authsec_server.failures import NotFound, NotPermitted
from authsec_server.principal import Act, Principal, PrincipalKind, Role
from authsec_server.web.request_context import limit_key

MAX_PAGE = 201  # a page of the admin API, and one more to know whether another follows
MAX_NUMBER = 2**63 - 1


def record(tx: Tx, event: Event) -> int:
    """Record the event in this transaction and return its number.

    If the transaction is rolled back, the event is not recorded. An event without an authority version gets that of the
    transaction.
    """
    if event.authority_version is None:
        event = replace(event, authority_version=tx.version)
    if not tx.changes:
        return store.add(tx.connection, event, tx.event_key)
    # The attack: PostgreSQL keeps the first version of the row, which somebody puts back before the seal, without the
    # digests. So the event gets its MAC with the digests.
    number = store.add(tx.connection, event, None)
    tx.changes.tell_by(lambda digests: store.complete(tx.connection, number, event, digests, tx.event_key))
    return number


def record_all(tx: Tx, events: Sequence[TokenEvent]) -> None:
    """Record these tokens in this transaction, in one statement."""
    if events:
        event_batches.add_all(tx.connection, events, tx.event_key)


def record_act(tx: Tx, act: Act, kind: EventKind, **what: Any) -> int:
    """Record a principal's action, and return the number of its last event.

    `what` are further fields of `Event`.
    One event may name at most `MAX_NAMED` delegations. For more delegations, several otherwise equal events are
    recorded.
    """
    event = Event(
        at=act.now,
        kind=kind,
        request_id=act.request_id,
        principal=act.principal,
        address=act.address,
        **what,
    )
    some, others = event.delegations[:MAX_NAMED], event.delegations[MAX_NAMED:]
    while others:
        record(tx, replace(event, delegations=some))
        some, others = others[:MAX_NAMED], others[MAX_NAMED:]
    return record(tx, replace(event, delegations=some))


def count_refusals(tx: Tx, tallies: Mapping[Refusal, Tally], now: datetime) -> None:
    """Add refusals to the rows that count refusals of the current minute."""
    refusal_counts.count(tx.connection, tallies, now.replace(second=0, microsecond=0), tx.event_key)


def count_not_permitted(tx: Tx, act: Act, why: NotPermitted, operation: str) -> None:
    """Count a refused action, for which the principal lacks the permission.

    `operation` looks like "POST /authsec/api/v1/roles/{role}".
    The first ten operations of a minute are counted separately, the others together: otherwise a caller with a stolen
    key could fill the disk with refusals.
    """
    refusal = Refusal(
        kind=EventKind.ADMIN_REFUSED,
        address=limit_key(act.address),
        principal=act.principal,
        reason=why.reason,
        apart=operation,
    )
    count_refusals(tx, {refusal: Tally(count=1, request_id=act.request_id, detail={"operation": operation})}, act.now)


def page(
    tx: Tx,
    principal: Principal,
    wanted: EventFilter = EVERYTHING,
    *,
    before: int | None = None,
    after: int | None = None,
    limit: int = 50,
) -> AuditLogPage:
    """Return a page of matching events.

    Normally the newest events come first, with numbers below `before`.
    With `after`, the oldest events come first, with numbers above `after`.
    """
    principal.require(Role.VIEWER)
    limit = max(1, min(limit, MAX_PAGE))
    if after is not None:
        return pages.following(tx.connection, wanted, after=after, limit=limit)
    return pages.newest(tx.connection, wanted, before=before, limit=limit)


def event(tx: Tx, principal: Principal, number: int) -> Recorded:
    """Return the event with this number. Raises `NotFound`."""
    principal.require(Role.VIEWER)
    found = pages.by_id(tx.connection, number) if 0 < number <= MAX_NUMBER else None
    if found is None:
        raise NotFound("The audit log has no such event.", "Search by its request_id or by the token's jti.")
    return found


def newest_number(tx: Tx, principal: Principal) -> int:
    """Return the number of the newest event; 0 in an empty audit log. A watcher can start from this number."""
    principal.require(Role.VIEWER)
    return pages.highest(tx.connection)


def of_request(tx: Tx, principal: Principal, request_id: str) -> tuple[Recorded, ...]:
    """Return the events of one request, in the order of sealing. If there are very many, return only the first."""
    principal.require(Role.VIEWER)
    wanted = EventFilter(request_id=request_id)
    return pages.first_sealed(tx.connection, wanted, MAX_PAGE) if request_id else ()


def minted_under(
    tx: Tx, principal: Principal, client_id: str, delegation_id: str, *, before: int | None = None, limit: int = 10
) -> AuditLogPage:
    """Return the events of tokens that were issued to the client under the delegation, newest first."""
    wanted = EventFilter(kinds=frozenset({EventKind.TOKEN_ISSUED}), client_id=client_id, delegation_id=delegation_id)
    return page(tx, principal, wanted, before=before, limit=limit)


def principal_acts(tx: Tx, principal: Principal, kind: PrincipalKind, principal_id: str) -> AuditLogPage:
    """Return the newest actions of an administrator or an admin key, newest first."""
    return page(tx, principal, EventFilter(principal=(kind, principal_id)), limit=10)


def search(tx: Tx, act: Act, text: str, *, limit: int = 8) -> tuple[Recorded, ...]:
    """Return the events with exactly this `jti` or exactly this `request_id`, at most `limit`.

    The form of the text decides which of the two it is. For a `jti`, the event of the issued token comes first. All
    other events come in the order of sealing.
    """
    act.principal.require(Role.VIEWER)
    if is_request_id(text):
        return pages.first_sealed(tx.connection, EventFilter(request_id=text), limit)
    return pages.first_sealed(tx.connection, EventFilter(jti=text), limit) if is_jti(text) else ()


def token_issued(tx: Tx, jti: str, *, expires_after: datetime | None = None) -> Recorded | None:
    """Return the event that records the issue of the token with this `jti`; None without such an event.

    With `expires_after`, events that say that the token expires earlier are left out.
    No principal is checked here: the packages that call this function check the principal.
    """
    return pages.token_issued(tx.connection, jti, expires_after=expires_after) if is_jti(jti) else None


def deleted_roles(tx: Tx, times: Collection[datetime]) -> Iterator[Recorded]:
    """Yield all events of roles that were deleted at exactly these times.

    Unreadable events are left out. No principal is checked.
    """
    found = pages.deleted_roles(tx.connection, times)
    return (each for each in found if each.event.kind is EventKind.ROLE_DELETED)


def highest_version(tx: Tx) -> int:
    """Return the highest plausible authority version of any event; 0 without events. Reads every event."""
    return pages.highest_version(tx.connection)


def prepare_months(tx: Tx, now: datetime) -> None:
    """Create the monthly partitions for this month and the next ones, on PostgreSQL."""
    partitions.prepare_months(tx.connection, now)


PAGES, OF_EACH = 10, 200  # the search covers this many pages, newest first; older edits are not found


def of_this_change(tx: Tx, act: Act) -> list[Recorded]:
    """Return the events that this change has written so far, in order."""
    its = (events.c.request_id == act.request_id, events.c.authority_version == tx.version)
    rows = tx.connection.execute(select(events).where(*its).order_by(events.c.id))
    return [recorded(row) for row in rows]


def changed_fields(tx: Tx, thing: str, since: int) -> tuple[str, ...]:
    """List the fields that edits changed after the revision `since`, sorted. `thing` is the id of the edited thing.

    No principal is checked.
    """
    fields: set[str] = set()
    before: int | None = None
    for _ in range(PAGES):
        page = pages.newest(tx.connection, EventFilter(kinds=EDITS), before=before, limit=OF_EACH)
        for event in (each.event for each in page.items if _is_about(each.event, thing)):
            if "revision" not in event.detail:  # the event of a changed password has no revision
                continue
            if event.detail["revision"] <= since:
                return tuple(sorted(fields))
            fields |= set(event.detail.get("after", ()))
        if (before := page.next) is None:
            break
    return tuple(sorted(fields))


def _is_about(event: Event, thing: str) -> bool:
    if event.kind is EventKind.DELEGATION_EDITED:
        return any(each.id == thing for each in event.delegations)
    named = (event.client, event.subject, *event.roles)
    return any(each is not None and each.id == thing for each in named)
