"""The statements of lists of trust delegations. The tables are `store`'s."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, not_, or_, select, tuple_

from authsec_server.audit.counts import Used
from authsec_server.db.matching import matches
from authsec_server.delegations.filters import Filters, Sort, Uses
from authsec_server.delegations.model import Delegation, DelegationState
from authsec_server.delegations.store import NO_AUDIENCE, delegation, delegation_audiences, delegations

_NEWEST = (delegations.c.created_at.desc(), delegations.c.id.desc())


def page(
    connection: Connection,
    filters: Filters,
    called: Collection[Select[tuple[str]]],
    *,
    used: Used | None = None,
    sort: Sort,
    after: Delegation | None,
    limit: int,
    now: datetime,
) -> list[Delegation]:
    """Delegations that fit, in that order, from the first one behind `after`.

    `called` are the ids of the roles, then those of the clients, that the filter's text fits; `used` is what was used,
    for a filter that leaves it out.
    """
    columns = delegations.c
    # The ids alone first: an index holds all that this needs, so that a rare thing is found without reading the table.
    fitting = select(columns.id).where(*_conditions(filters, called, now)).limit(limit)
    if filters.unused_since is not None:
        assert used is not None  # to leave it out would show what is used as if it were not
        fitting = fitting.where(columns.created_at < filters.unused_since, *_unused(used))
    created, id_ = columns.created_at, columns.id
    if filters.audience is not None:
        created, id_ = delegation_audiences.c.created_at, delegation_audiences.c.delegation_id
        fitting = fitting.join(delegation_audiences).where(delegation_audiences.c.audience == filters.audience)
    if after is not None:
        fitting = fitting.where(_behind(after, sort, created, id_))
    wanted = select(delegations).where(columns.id.in_(fitting.order_by(*_order(sort, created, id_))))
    in_order = wanted.order_by(*_order(sort, columns.created_at, columns.id))
    return [delegation(row) for row in connection.execute(in_order)]


def live_of_role(connection: Connection, role_id: str, *, limit: int, now: datetime) -> list[Delegation]:
    """The newest live delegations of the role."""
    live = select(delegations).where(delegations.c.role_id == role_id, _is(DelegationState.LIVE, now))
    return [delegation(row) for row in connection.execute(live.order_by(*_NEWEST).limit(limit))]


def live_for(connection: Connection, audience: str, *, by_default: bool, limit: int, now: datetime) -> list[Delegation]:
    """The newest live delegations that name the audience, and with `by_default` those that name none."""
    found = _live_for(connection, audience, limit, now)
    if by_default:
        found = [*found, *_live_for(connection, NO_AUDIENCE, limit, now)]
    return sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)[:limit]


def _live_for(connection: Connection, audience: str, limit: int, now: datetime) -> list[Delegation]:
    names = delegation_audiences.c
    live = select(delegations).join(delegation_audiences).where(names.audience == audience)
    newest = live.where(_is(DelegationState.LIVE, now)).order_by(names.created_at.desc(), names.delegation_id.desc())
    return [delegation(row) for row in connection.execute(newest.limit(limit))]


def uses_by_role(connection: Connection, role_ids: Collection[str], now: datetime) -> dict[str, Uses]:
    """How many delegations there are of each of the roles; those without any are left out."""
    return _uses(connection, delegations.c.role_id, role_ids, now)


def uses_by_client(connection: Connection, client_ids: Collection[str], now: datetime) -> dict[str, Uses]:
    """How many delegations each of the clients has; those without any are left out."""
    return _uses(connection, delegations.c.client_id, client_ids, now)


def _uses(connection: Connection, column: ColumnElement[str], ids: Collection[str], now: datetime) -> dict[str, Uses]:
    live, disabled = _number(DelegationState.LIVE, now), _number(DelegationState.DISABLED, now)
    counted = select(column, live, disabled, func.count()).where(column.in_(ids)).group_by(column)
    return {
        id_: Uses(live=is_live, disabled=is_disabled, over=all_of_them - is_live - is_disabled)
        for id_, is_live, is_disabled, all_of_them in connection.execute(counted)
    }


def tally(connection: Connection, now: datetime) -> dict[DelegationState, int]:
    """How many delegations there are in each state."""
    row = connection.execute(select(*(_number(state, now) for state in DelegationState))).one()
    return dict(zip(DelegationState, row, strict=True))


def audiences(connection: Connection) -> set[str]:
    """What delegations of any state name; with `NO_AUDIENCE` where some name none."""
    return set(connection.execute(select(delegation_audiences.c.audience).distinct()).scalars())


def number_for(connection: Connection, audiences: Collection[str], now: datetime) -> int:
    """How many live delegations name one of the audiences; `NO_AUDIENCE` stands for those that name none."""
    names = delegation_audiences.c
    live = select(func.count(func.distinct(names.delegation_id))).select_from(delegation_audiences).join(delegations)
    found: int = connection.execute(
        live.where(names.audience.in_(audiences), _is(DelegationState.LIVE, now))
    ).scalar_one()
    return found


def _number(state: DelegationState, now: datetime) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((_is(state, now), 1), else_=0)), 0)


def _conditions(
    filters: Filters, called: Collection[Select[tuple[str]]], now: datetime
) -> Iterator[ColumnElement[bool]]:
    columns = delegations.c
    if filters.text:
        by_role, by_client = called
        yield or_(
            matches(filters.text, columns.id, columns.slug),
            columns.role_id.in_(by_role),
            columns.client_id.in_(by_client),
        )
    if filters.state is not None:
        yield _is(filters.state, now)
    if filters.role_id is not None:
        yield columns.role_id == filters.role_id
    if filters.client_id is not None:
        yield columns.client_id == filters.client_id
    if filters.target_type is not None:
        yield columns.target_type == filters.target_type
    if filters.ends_before is not None:
        yield columns.ends_at < filters.ends_before
    if filters.owner:
        yield columns.owner == filters.owner


def _unused(used: Used) -> Iterator[ColumnElement[bool]]:
    its = used.kept.selected_columns[0]
    yield not_(used.kept.where(its == delegations.c.id).correlate(delegations).exists())
    if used.lately:
        yield delegations.c.id.not_in(used.lately)


def _is(wanted: DelegationState, now: datetime) -> ColumnElement[bool]:
    """`model.state`, as a condition."""
    columns = delegations.c
    lasting = or_(columns.ends_at.is_(None), columns.ends_at > now)
    return {
        DelegationState.LIVE: and_(columns.revoked_at.is_(None), lasting, columns.enabled),
        DelegationState.DISABLED: and_(columns.revoked_at.is_(None), lasting, not_(columns.enabled)),
        DelegationState.ENDED: and_(columns.revoked_at.is_(None), columns.ends_at <= now),
        DelegationState.REVOKED: columns.revoked_at.is_not(None),
    }[wanted]


def _order(sort: Sort, created: ColumnElement[datetime], id_: ColumnElement[str]) -> tuple[ColumnElement[Any], ...]:
    if sort is Sort.ENDS:
        return delegations.c.ends_at.asc().nulls_last(), id_.asc()
    return (created.asc(), id_.asc()) if sort is Sort.OLDEST else (created.desc(), id_.desc())


def _behind(
    after: Delegation, sort: Sort, created: ColumnElement[datetime], id_: ColumnElement[str]
) -> ColumnElement[bool]:
    ends_at = delegations.c.ends_at
    if sort is Sort.ENDS:
        if after.ends_at is None:
            return and_(ends_at.is_(None), id_ > after.id)
        return or_(tuple_(ends_at, id_) > tuple_(after.ends_at, after.id), ends_at.is_(None))
    here, last = tuple_(created, id_), tuple_(after.created_at, after.id)
    return here > last if sort is Sort.OLDEST else here < last
