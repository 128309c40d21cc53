"""The statements of lists of trust delegations. The table is `store`'s."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    case,
    func,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
)

from authsec_server.delegations.filters import Filters, Sort
from authsec_server.delegations.model import Delegation, DelegationState
from authsec_server.delegations.store import delegation, delegations


def page(
    connection: Connection,
    filters: Filters,
    called: Collection[Select[tuple[str]]],
    *,
    sort: Sort,
    after: Delegation | None,
    limit: int,
    now: datetime,
) -> list[Delegation]:
    """Delegations that fit, in that order, from the first one behind `after`.

    `called` are the ids of the roles, then those of the clients, that the filter's text fits.
    """
    fitting = select(delegations.c.id).where(*_conditions(filters, called, now))
    if after is not None:
        fitting = fitting.where(_behind(after, sort))
    # The ids alone first: an index holds all that this needs, so that a rare thing is found without reading the table.
    ids = fitting.order_by(*_order(sort)).limit(limit)
    wanted = select(delegations).where(delegations.c.id.in_(ids)).order_by(*_order(sort))
    return [delegation(row) for row in connection.execute(wanted)]


def live_of_role(connection: Connection, role_id: str, *, limit: int, now: datetime) -> list[Delegation]:
    """The newest live delegations of the role."""
    return _live(connection, delegations.c.role_id == role_id, limit, now)


def live_for(connection: Connection, audience: str, *, by_default: bool, limit: int, now: datetime) -> list[Delegation]:
    """The newest live delegations that name the audience, and with `by_default` those that name none."""
    named = _names(audience)
    nameless = delegations.c.audiences.cast(Text) == "[]"
    return _live(connection, or_(named, nameless) if by_default else named, limit, now)


def _live(connection: Connection, condition: ColumnElement[bool], limit: int, now: datetime) -> list[Delegation]:
    live = select(delegations).where(_is(DelegationState.LIVE, now), condition)
    return [delegation(row) for row in connection.execute(live.order_by(*_order(Sort.NEWEST)).limit(limit))]


def count_by_role(
    connection: Connection, role_ids: Collection[str], now: datetime
) -> dict[tuple[str, DelegationState], int]:
    """How many delegations there are of each of the roles, by state."""
    return _counted(connection, delegations.c.role_id, role_ids, now)


def count_by_client(
    connection: Connection, client_ids: Collection[str], now: datetime
) -> dict[tuple[str, DelegationState], int]:
    """How many delegations each of the clients has, by state."""
    return _counted(connection, delegations.c.client_id, client_ids, now)


def tally(connection: Connection, now: datetime) -> dict[DelegationState, int]:
    """How many delegations there are in each state."""
    its = _state(now)
    counted = connection.execute(select(its, func.count()).group_by(its))
    return {DelegationState(state): count for state, count in counted}


def _counted(
    connection: Connection, column: ColumnElement[str], ids: Collection[str], now: datetime
) -> dict[tuple[str, DelegationState], int]:
    its = _state(now)
    counted = connection.execute(select(column, its, func.count()).where(column.in_(ids)).group_by(column, its))
    return {(id_, DelegationState(state)): count for id_, state, count in counted}


def _state(now: datetime) -> ColumnElement[str]:
    """`model.state`, as a value."""
    return case(*((_is(state, now), literal_column(f"'{state}'")) for state in DelegationState)).label("state")


def _conditions(
    filters: Filters, called: Collection[Select[tuple[str]]], now: datetime
) -> Iterator[ColumnElement[bool]]:
    columns = delegations.c
    if filters.text:
        by_role, by_client = called
        begins = columns.id.startswith(filters.text.lower(), autoescape=True)
        yield or_(begins, columns.role_id.in_(by_role), columns.client_id.in_(by_client))
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
    if filters.audience is not None:
        yield _names(filters.audience)


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


def _names(audience: str) -> ColumnElement[bool]:
    """Whether the delegation names the audience. In JSON's spelling: an audience has no character that it escapes."""
    return delegations.c.audiences.cast(Text).contains(f'"{audience}"', autoescape=True)


def _order(sort: Sort) -> tuple[ColumnElement[Any], ...]:
    columns = delegations.c
    if sort is Sort.ENDS:
        return columns.ends_at.asc().nulls_last(), columns.id.asc()
    if sort is Sort.OLDEST:
        return columns.created_at.asc(), columns.id.asc()
    return columns.created_at.desc(), columns.id.desc()


def _behind(after: Delegation, sort: Sort) -> ColumnElement[bool]:
    columns = delegations.c
    if sort is Sort.ENDS:
        if after.ends_at is None:
            return and_(columns.ends_at.is_(None), columns.id > after.id)
        later = tuple_(columns.ends_at, columns.id) > tuple_(after.ends_at, after.id)
        return or_(later, columns.ends_at.is_(None))
    order, last = tuple_(columns.created_at, columns.id), tuple_(after.created_at, after.id)
    return order > last if sort is Sort.OLDEST else order < last
