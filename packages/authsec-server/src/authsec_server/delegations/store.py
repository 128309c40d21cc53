"""The tables of trust delegations, and the SQL statements on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    Integer,
    Row,
    Select,
    String,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.selectable import TableValuedAlias

from authsec_server.audit.counts import Used
from authsec_server.clients.model import ProofKind
from authsec_server.db import rows
from authsec_server.db.matching import matches, neighbours
from authsec_server.db.schema import Flag, Instant, metadata
from authsec_server.delegations.model import (
    Delegation,
    DelegationFilters,
    DelegationSort,
    DelegationState,
    Uses,
)
from authsec_server.naming import is_uuid, only_one

delegations = Table(
    "delegations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("slug", String(63)),  # null: a later delegation has taken the slug
    Column("role_id", String(36), ForeignKey("roles.id"), nullable=False),
    Column("client_id", String(36), ForeignKey("clients.id"), nullable=False, index=True),
    Column("target_type", String(40), nullable=False),
    Column("actions", JSON, nullable=False),  # Allowed Actions, sorted
    Column("max_duration", Integer, nullable=False),  # seconds
    Column("audiences", JSON, nullable=False),  # empty: the setting default_audience
    Column("excluded_proofs", JSON, nullable=False),  # proof kinds that are not accepted
    Column("require_dpop", Flag, nullable=False, server_default="false"),  # only tokens bound to a key (RFC 9449)
    Column("ends_at", Instant),
    Column("enabled", Boolean, nullable=False),
    Column("revoked_at", Instant),
    Column("owner", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("changed_at", Instant),
    Column("changed_by", Text),
)

# Each order of a list has an index with all filtered columns, so a search for few delegations reads only the index.
_STATE = [delegations.c[name] for name in ("enabled", "revoked_at", "ends_at")]
_PARTIES = [delegations.c[name] for name in ("role_id", "client_id", "target_type")]
Index("ix_delegations_created_at", delegations.c.created_at, delegations.c.id, *_PARTIES, *_STATE, delegations.c.slug)
Index("ix_delegations_role_id_created_at", delegations.c.role_id, delegations.c.created_at, delegations.c.id, *_STATE)
Index("uq_delegations_slug", delegations.c.slug, unique=True)
Index("ix_delegations_ends_at", delegations.c.ends_at, delegations.c.id)

delegation_audiences = Table(  # a copy of the audiences, to list the callers of an API
    "delegation_audiences",
    metadata,
    Column("delegation_id", String(36), ForeignKey("delegations.id", ondelete="CASCADE"), primary_key=True),
    Column("audience", Text, primary_key=True),
    Column("created_at", Instant, nullable=False),  # copied from the delegation, to sort the list
    Column("edit_id", String(16), nullable=False, server_default=""),  # random: see `save_audiences`
    Index("ix_delegation_audiences_audience", "audience", "created_at", "delegation_id"),
)

NO_AUDIENCE = ""
"""A placeholder in the list of audiences for a delegation without an audience."""


def add(connection: Connection, delegation: Delegation) -> None:
    """Insert the delegation."""
    connection.execute(insert(delegations), rows.write(delegations, delegation))
    _add_audiences(connection, delegation, "")  # the delegation's id is random, as in `roles.store.add`


def save(connection: Connection, delegation: Delegation) -> None:
    """Update the delegation's row. The separate function `save_audiences` updates the audiences for lists."""
    row = rows.write(delegations, delegation)
    connection.execute(update(delegations).where(delegations.c.id == delegation.id), row)


def save_audiences(connection: Connection, delegation: Delegation, edit_id: str) -> None:
    """Replace the rows of the delegation's audiences. Lists find the delegation by these rows.

    Each row gets the id of this edit, as in `roles.store.save`.
    """
    connection.execute(delete(delegation_audiences).where(delegation_audiences.c.delegation_id == delegation.id))
    _add_audiences(connection, delegation, edit_id)


def find(connection: Connection, id_or_slug: str) -> Delegation | None:
    """Return the delegation with this id or slug."""
    column = delegations.c.id if is_uuid(id_or_slug) else delegations.c.slug
    return only_one(load(connection, select(delegations).where(column == id_or_slug)), id_or_slug)


def slugs_near(connection: Connection, slug: str) -> list[str]:
    """Return the slugs just before and just after this unknown slug in alphabetical order."""
    return neighbours(connection, delegations.c.slug, slug)


def by_ids(connection: Connection, ids: Collection[str]) -> list[Delegation]:
    """Return the delegations with these ids, sorted by id. Unknown ids are left out."""
    statement = select(delegations).where(delegations.c.id.in_(ids)).order_by(delegations.c.id)
    return load(connection, statement)


def of_client(connection: Connection, client_id: str) -> list[Delegation]:
    """Return the client's delegations, in any state, sorted by id."""
    statement = select(delegations).where(delegations.c.client_id == client_id).order_by(delegations.c.id)
    return load(connection, statement)


def of_clients(connection: Connection, client_ids: Collection[str]) -> list[Delegation]:
    """Return the delegations of these clients, in any state, sorted by id."""
    return _read(connection.execute(_OF_CLIENTS, {"ids": [*client_ids]}))


# Made once: token requests wait for this statement, and to make it takes as long as to execute it.
_OF_CLIENTS: Final = (
    select(delegations).where(delegations.c.client_id.in_(bindparam("ids", expanding=True))).order_by(delegations.c.id)
)


def of_role(connection: Connection, role_id: str) -> list[Delegation]:
    """Return the delegations of the role, in any state, sorted by id."""
    statement = select(delegations).where(delegations.c.role_id == role_id).order_by(delegations.c.id)
    return load(connection, statement)


def remove_of_client(connection: Connection, client_id: str) -> None:
    """Delete all of the client's delegations."""
    connection.execute(delete(delegations).where(delegations.c.client_id == client_id))


def remove_of_role(connection: Connection, role_id: str) -> None:
    """Delete all delegations of the role."""
    connection.execute(delete(delegations).where(delegations.c.role_id == role_id))


def load(connection: Connection, statement: Select[Any]) -> list[Delegation]:
    """Return the delegations that the statement selects, in the statement's order."""
    return _read(connection.execute(statement))


def _read(found: Iterable[Row[Any]]) -> list[Delegation]:
    return [rows.read(Delegation, row) for row in found]


def _add_audiences(connection: Connection, delegation: Delegation, edit_id: str) -> None:
    named = delegation.audiences or (NO_AUDIENCE,)
    its = {"delegation_id": delegation.id, "created_at": delegation.created_at, "edit_id": edit_id}
    connection.execute(insert(delegation_audiences), [{**its, "audience": audience} for audience in named])


_NEWEST = (delegations.c.created_at.desc(), delegations.c.id.desc())


def page(
    connection: Connection,
    filters: DelegationFilters,
    called: Collection[Select[tuple[str]]],
    *,
    used: Used | None = None,
    sort: DelegationSort,
    after: Delegation | None,
    limit: int,
    now: datetime,
) -> list[Delegation]:
    """Return matching delegations after the delegation `after`, in the order `sort`.

    `called` has two queries for ids: one for the roles and one for the clients that match the filter's text.
    `used` is needed for the filter `unused_since`, which leaves out delegations that were used for a token.
    """
    columns = delegations.c
    # First read only the ids: an index has all columns of this query, so the query need not read the table.
    fitting = select(columns.id).where(*conditions(filters, called, now, used)).limit(limit)
    created, id_ = columns.created_at, columns.id
    if filters.audience is not None:
        created, id_ = delegation_audiences.c.created_at, delegation_audiences.c.delegation_id
        fitting = fitting.join(delegation_audiences).where(delegation_audiences.c.audience == filters.audience)
    if after is not None:
        fitting = fitting.where(_behind(after, sort, created, id_))
    wanted = select(delegations).where(columns.id.in_(fitting.order_by(*_order(sort, created, id_))))
    return load(connection, wanted.order_by(*_order(sort, columns.created_at, columns.id)))


def live_of_role(connection: Connection, role_id: str, *, limit: int, now: datetime) -> list[Delegation]:
    """Return the newest live delegations of the role."""
    live = select(delegations).where(delegations.c.role_id == role_id, _is(DelegationState.LIVE, now))
    return load(connection, live.order_by(*_NEWEST).limit(limit))


def live_for(
    connection: Connection, audience: str, *, by_default: bool, limit: int, now: datetime, with_dpop: bool = False
) -> list[Delegation]:
    """Return the newest live delegations that name the audience.

    `by_default` also includes delegations that name no audience. `with_dpop` leaves those that require DPoP.
    """
    named = [audience, NO_AUDIENCE] if by_default else [audience]
    live = [found for each in named for found in _live_for(connection, each, limit, now, with_dpop=with_dpop)]
    return sorted(live, key=lambda each: (each.created_at, each.id), reverse=True)[:limit]


def _live_for(connection: Connection, audience: str, limit: int, now: datetime, *, with_dpop: bool) -> list[Delegation]:
    names = delegation_audiences.c
    live = select(delegations).join(delegation_audiences).where(names.audience == audience)
    live = live.where(delegations.c.require_dpop == literal(value=True, type_=Flag)) if with_dpop else live
    newest = live.where(_is(DelegationState.LIVE, now)).order_by(names.created_at.desc(), names.delegation_id.desc())
    return load(connection, newest.limit(limit))


def uses_by_role(connection: Connection, role_ids: Collection[str], now: datetime) -> dict[str, Uses]:
    """Return the numbers of delegations of each role. Roles without delegations are left out."""
    return _uses(connection, delegations.c.role_id, role_ids, now)


def uses_by_client(connection: Connection, client_ids: Collection[str], now: datetime) -> dict[str, Uses]:
    """Return the numbers of delegations of each client. Clients without delegations are left out."""
    return _uses(connection, delegations.c.client_id, client_ids, now)


def _uses(connection: Connection, column: ColumnElement[str], ids: Collection[str], now: datetime) -> dict[str, Uses]:
    live, disabled = _number(DelegationState.LIVE, now), _number(DelegationState.DISABLED, now)
    counted = select(column, live, disabled, func.count()).where(column.in_(ids)).group_by(column)
    return {
        id_: Uses(live=is_live, disabled=is_disabled, over=all_of_them - is_live - is_disabled)
        for id_, is_live, is_disabled, all_of_them in connection.execute(counted)
    }


def tally(connection: Connection, now: datetime) -> dict[DelegationState, int]:
    """Return the number of delegations in each state."""
    row = connection.execute(select(*(_number(state, now) for state in DelegationState))).one()
    return dict(zip(DelegationState, row, strict=True))


def audiences(connection: Connection) -> set[str]:
    """Return the audiences that delegations in any state name.

    If a delegation names no audience, the result contains `NO_AUDIENCE`.
    """
    return set(connection.execute(select(delegation_audiences.c.audience).distinct()).scalars())


def number_for(connection: Connection, audiences: Collection[str], now: datetime) -> int:
    """Return the number of live delegations that name one of the audiences.

    `NO_AUDIENCE` matches delegations that name no audience.
    """
    names = delegation_audiences.c
    live = select(func.count(func.distinct(names.delegation_id))).select_from(delegation_audiences).join(delegations)
    wanted = live.where(names.audience.in_(audiences), _is(DelegationState.LIVE, now))
    number: int = connection.execute(wanted).scalar_one()
    return number


def gives_authority(
    connection: Connection,
    client_id: ColumnElement[str],
    role_actions: Select[tuple[str, str]],
    usable_proofs: Select[tuple[str, str]],
    now: datetime,
) -> ColumnElement[bool]:
    """Return a condition: a live delegation of the client has an action of its role and accepts a usable proof.

    `role_actions` has the id of each role with each of its actions. `usable_proofs` has the client_id and the kind of
    each usable proof.
    """
    columns, takes_any = delegations.c, delegations.c.require_dpop == literal(value=False, type_=Flag)
    in_role, proved = role_actions.subquery(), usable_proofs.subquery()
    allowed, excluded = (_elements(connection, column) for column in (columns.actions, columns.excluded_proofs))
    held = select(in_role.c.action).where(in_role.c.role_id == columns.role_id, in_role.c.action == allowed.c.value)
    granted = select(allowed.c.value).where(held.correlate(delegations, allowed).exists())
    forbidden = select(excluded.c.value).correlate(delegations)
    accepted = select(proved.c.kind).where(
        proved.c.client_id == columns.client_id,
        proved.c.kind.not_in(forbidden),
        # These two conditions are those of `Delegation.accepts`.
        or_(proved.c.kind != ProofKind.ENROLLED_KEY, literal(ProofKind.KEY_PAIR.value).not_in(forbidden)),
        or_(takes_any, proved.c.kind != ProofKind.UNATTESTED),
    )
    accepts_all = and_(cast(columns.excluded_proofs, Text) == "[]", takes_any)
    giving = select(columns.id).where(
        columns.client_id == client_id,
        _is(DelegationState.LIVE, now),
        granted.correlate(delegations).exists(),
        or_(accepts_all, accepted.correlate(delegations).exists()),
    )
    return giving.correlate(client_id.table).exists()


def _elements(connection: Connection, column: Column[Any]) -> TableValuedAlias:
    """Return the elements of the JSON list as a table with the column `value`."""
    read = func.json_array_elements_text if connection.dialect.name == "postgresql" else func.json_each
    return read(column).table_valued("value")


def _number(state: DelegationState, now: datetime) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((_is(state, now), 1), else_=0)), 0)


def conditions(
    filters: DelegationFilters, called: Collection[Select[tuple[str]]], now: datetime, used: Used | None = None
) -> Iterator[ColumnElement[bool]]:
    """Yield the SQL conditions of the filters, except `audience`. See `page`."""
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
    if filters.unused_since is not None:
        assert used is not None  # without `used`, the list would contain used delegations
        yield columns.created_at < filters.unused_since
        yield from _unused(used)


def _unused(used: Used) -> Iterator[ColumnElement[bool]]:
    its = used.kept.selected_columns[0]
    yield not_(used.kept.where(its == delegations.c.id).correlate(delegations).exists())
    if used.lately:
        yield delegations.c.id.not_in(used.lately)


def _is(wanted: DelegationState, now: datetime) -> ColumnElement[bool]:
    """Return an SQL condition that is true for delegations in this state, by the rules of `model.state`."""
    columns = delegations.c
    lasting = or_(columns.ends_at.is_(None), columns.ends_at > now)
    return {
        DelegationState.LIVE: and_(columns.revoked_at.is_(None), lasting, columns.enabled),
        DelegationState.DISABLED: and_(columns.revoked_at.is_(None), lasting, not_(columns.enabled)),
        DelegationState.ENDED: and_(columns.revoked_at.is_(None), columns.ends_at <= now),
        DelegationState.REVOKED: columns.revoked_at.is_not(None),
    }[wanted]


def _order(
    sort: DelegationSort, created: ColumnElement[datetime], id_: ColumnElement[str]
) -> tuple[ColumnElement[Any], ...]:
    if sort is DelegationSort.ENDS:
        return delegations.c.ends_at.asc().nulls_last(), id_.asc()
    return (created.asc(), id_.asc()) if sort is DelegationSort.OLDEST else (created.desc(), id_.desc())


def _behind(
    after: Delegation, sort: DelegationSort, created: ColumnElement[datetime], id_: ColumnElement[str]
) -> ColumnElement[bool]:
    ends_at = delegations.c.ends_at
    if sort is DelegationSort.ENDS:
        if after.ends_at is None:
            return and_(ends_at.is_(None), id_ > after.id)
        return or_(tuple_(ends_at, id_) > tuple_(after.ends_at, after.id), ends_at.is_(None))
    here, last = tuple_(created, id_), tuple_(after.created_at, after.id)
    return here > last if sort is DelegationSort.OLDEST else here < last
