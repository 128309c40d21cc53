"""SQL of the search for clients: filters, order and cursor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Column, ColumnElement, Connection, Select, and_, false, func, literal, or_, select, tuple_

from authsec_server.clients.filters import MAX_COUNTED, Attention, ClientFilters, ClientSort, Position
from authsec_server.clients.model import ProofKind
from authsec_server.clients.store import client_labels, clients, proofs
from authsec_server.db.matching import unheard_of
from authsec_server.naming import folded

FEW = 20_000  # holders of a label: up to so many are looked up one by one; among more, the order's first are tried
_WEAK = {Attention.SECRET: ProofKind.SECRET, Attention.ENROLLED: ProofKind.ENROLLED_KEY}
# Each has an index that also holds whatever is filtered by.
_ORDERS: dict[ClientSort, tuple[Column[str], ...]] = {
    ClientSort.NAME: (clients.c.sort_name, clients.c.id),
    ClientSort.CREATED: (clients.c.created_at, clients.c.id),
    ClientSort.OWNER: (clients.c.sort_owner, clients.c.sort_name, clients.c.id),
}


def page(
    connection: Connection,
    filters: ClientFilters,
    now: datetime,
    *,
    sort: ClientSort,
    descending: bool,
    after: Position | None,
    limit: int,
) -> list[str]:
    """Return the client_ids of the matching clients after the position `after`, in the order `sort`."""
    columns = _ORDERS[sort]
    wanted = select(clients.c.id).where(*_conditions(connection, filters, now)).limit(limit)
    if after is not None:
        here = tuple_(*columns)
        there = tuple_(*(literal(part, column.type) for part, column in zip(after, columns, strict=True)))
        wanted = wanted.where(here < there if descending else here > there)
    ordered = wanted.order_by(*(column.desc() if descending else column for column in columns))
    return list(connection.execute(ordered).scalars())


def count(connection: Connection, filters: ClientFilters, now: datetime) -> int:
    """Count the matching clients, up to `MAX_COUNTED` + 1. The last one shows that there are more."""
    if filters.label and filters == ClientFilters(label=filters.label) and not unheard_of(filters.label):
        return _counted(connection, _holders(filters.label), MAX_COUNTED + 1)  # the labels alone can tell
    return _counted(connection, select(clients.c.id).where(*_conditions(connection, filters, now)), MAX_COUNTED + 1)


def called(connection: Connection, name: str, limit: int) -> list[str]:
    """Return the client_ids of clients with exactly this name, ignoring case."""
    named = select(clients.c.id).where(false() if unheard_of(name) else clients.c.sort_name == folded(name))
    return list(connection.execute(named.limit(limit)).scalars())


def owners(connection: Connection, limit: int) -> list[str]:
    """Return the first `limit` owners in name order. If owners differ only in case, only one of them is returned."""
    named = select(func.min(clients.c.owner)).group_by(clients.c.sort_owner).order_by(clients.c.sort_owner)
    return list(connection.execute(named.limit(limit)).scalars())


def ids_matching(text: str) -> Select[tuple[str]]:
    """Return a query for the client_ids of the clients that the filter `text` finds."""
    return select(clients.c.id).where(_matches(text))


def _conditions(connection: Connection, filters: ClientFilters, now: datetime) -> Iterator[ColumnElement[bool]]:
    if unheard_of(filters.owner + filters.label):
        yield false()
        return
    if filters.text:
        yield _matches(filters.text)
    if filters.kind:
        yield clients.c.kind == filters.kind
    if filters.platform:
        yield clients.c.platform == filters.platform
    if filters.enabled is not None:
        yield clients.c.enabled.is_(filters.enabled)
    if filters.owner:
        yield clients.c.sort_owner == folded(filters.owner)
    if filters.label:
        yield _labelled(connection, filters.label)
    if filters.attention:
        yield _needs(filters.attention, now)


def _matches(text: str) -> ColumnElement[bool]:
    if unheard_of(text):
        return false()
    part = folded(text)
    return or_(
        clients.c.sort_name.contains(part, autoescape=True),
        clients.c.slug.contains(part, autoescape=True),
        clients.c.id.startswith(part, autoescape=True),
    )


def _labelled(connection: Connection, label: str) -> ColumnElement[bool]:
    holders = _holders(label)
    if _counted(connection, holders, FEW + 1) <= FEW:  # SQLite keeps no statistics by which it could choose
        # Read once: looked up for each client in turn, those at the end of the order would take their time.
        once = holders.cte("holders").prefix_with("MATERIALIZED", dialect="postgresql")
        return clients.c.id.in_(select(once.c.client_id))
    return holders.where(client_labels.c.client_id == clients.c.id).exists()


def _holders(label: str) -> Select[tuple[str]]:
    name, _, value = label.partition("=")
    holders = select(client_labels.c.client_id).where(client_labels.c.name == name)
    return holders.where(client_labels.c.value == value) if value else holders


def _counted(connection: Connection, some: Select[tuple[str]], limit: int) -> int:
    number: int = connection.execute(select(func.count()).select_from(some.limit(limit).subquery())).scalar_one()
    return number


def _needs(attention: Attention, now: datetime) -> ColumnElement[bool]:
    if attention in _WEAK:
        is_valid = or_(proofs.c.expires_at.is_(None), proofs.c.expires_at > now)
        return clients.c.id.in_(select(proofs.c.client_id).where(proofs.c.kind == _WEAK[attention], is_valid))
    unattested = func.coalesce(clients.c.unattested_until > now, False)
    if attention is Attention.UNATTESTED:
        return unattested
    return and_(~func.coalesce(clients.c.provable_until > now, False), ~unattested)
