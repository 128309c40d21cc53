"""The SQL of a list of clients: conditions (a text, a label, an alert), sort orders, and the cursor of a page."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Column, ColumnElement, Connection, Select, and_, false, func, literal, or_, select, tuple_

from authsec_server import naming
from authsec_server.clients import store
from authsec_server.clients.model import CHECKED, Attention, Client, ClientKind, Platform, ProofKind
from authsec_server.clients.store import client_labels, clients, proofs
from authsec_server.db import Tx
from authsec_server.db.matching import count_up_to, in_batches, unheard_of
from authsec_server.failures import Invalid
from authsec_server.naming import folded
from authsec_server.principal import Act, Role

MAX_COUNTED = 10_000  # an exact larger number does not help people, and counting takes time


class ClientSort(StrEnum):
    """The order of a list of clients."""

    NAME = "name"
    CREATED = "created"
    OWNER = "owner"  # clients with the same owner are in name order


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFilters:
    """Filters for clients. A client must match every filter; an empty filter or None matches all clients.

    `text` matches a part of the name or slug, or the beginning of the client_id. `owner` is the whole name of
    the owner. `text` and `owner` ignore case. `label` is `name=value`, or a name alone for any value.
    `can_authenticate` matches clients with a valid proof, and unattested clients.
    """

    text: str = ""
    kind: ClientKind | None = None
    platform: Platform | None = None
    enabled: bool | None = None
    owner: str = ""
    label: str = ""
    attention: Attention | None = None
    can_authenticate: bool | None = None


IdCondition = Callable[[ColumnElement[str]], ColumnElement[bool]]
"""A filter that another package makes: a condition on the column with the client_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A number of clients. `capped` says that there are more clients than `number`."""

    number: int
    capped: bool

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.capped else ''}"


Position = tuple[str | datetime, ...]
"""The position of a client in a sorted list: the value that sorts, and the id for clients with equal values."""


def position(client: Client, sort: ClientSort) -> Position:
    """Return the client's position in this order: the values at which a page can begin."""
    name, owner = naming.folded(client.name), naming.folded(client.owner)
    by: dict[ClientSort, Position] = {
        ClientSort.NAME: (name,),
        ClientSort.CREATED: (client.created_at,),
        ClientSort.OWNER: (owner, name),
    }
    return (*by[sort], client.id)


def write_cursor(sort: ClientSort, last: Position) -> str:
    """Encode a position for a URL. Line breaks separate the parts, because no name contains a line break."""
    parts = [part.isoformat() if isinstance(part, datetime) else part for part in last]
    return urlsafe_b64encode("\n".join([sort, *parts]).encode()).decode().rstrip("=")


def read_cursor(sort: ClientSort, cursor: str) -> Position:
    """Decode the caller's cursor. Raises `Invalid` if the cursor does not come from a list in this order."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        kind, *parts = urlsafe_b64decode(padded.encode("ascii")).decode().split("\n")
        after: Position = (datetime.fromisoformat(parts[0]), *parts[1:]) if sort is ClientSort.CREATED else tuple(parts)
    except (binascii.Error, ValueError, IndexError):
        raise _no_cursor() from None
    length = 3 if sort is ClientSort.OWNER else 2
    fits = kind == sort and len(after) == length and naming.is_uuid(parts[-1]) and "\0" not in "".join(parts)
    if not fits or (isinstance(after[0], datetime) and after[0].tzinfo is None):
        raise _no_cursor()
    return after


def _no_cursor() -> Invalid:
    return Invalid("cursor", "This cursor does not come from a list in this order.", "Start at the first page.")


MAX_PAGE = 200
MAX_OWNERS = 500
ALL = ClientFilters()
FEW = 20_000  # clients with a label: up to this number, read all of them first; otherwise test clients in list order
_WEAK = {Attention.SECRET: ProofKind.SECRET, Attention.ENROLLED: ProofKind.ENROLLED_KEY}
# Each order has an index, which also contains all filtered columns.
_ORDERS: dict[ClientSort, tuple[Column[str], ...]] = {
    ClientSort.NAME: (clients.c.sort_name, clients.c.id),
    ClientSort.CREATED: (clients.c.created_at, clients.c.id),
    ClientSort.OWNER: (clients.c.sort_owner, clients.c.sort_name, clients.c.id),
}


def page_of(
    tx: Tx,
    act: Act,
    filters: ClientFilters = ALL,
    *,
    also: IdCondition | None = None,
    sort: ClientSort = ClientSort.NAME,
    descending: bool = False,
    cursor: str = "",
    limit: int = 50,
) -> tuple[list[Client], str | None]:
    """Return a page of clients after the cursor, and the cursor of the next page. Raises `Invalid`.

    The cursor names the last client, not a page number. So the page does not shift if somebody adds, renames or
    deletes clients.
    """
    act.principal.require(Role.VIEWER)
    limit = max(1, min(limit, MAX_PAGE))
    columns = _ORDERS[sort]
    wanted = select(clients.c.id).where(*_conditions(tx.connection, filters, act.now, also)).limit(limit + 1)
    if cursor:
        here = tuple_(*columns)
        after = zip(read_cursor(sort, cursor), columns, strict=True)
        there = tuple_(*(literal(part, column.type) for part, column in after))
        wanted = wanted.where(here < there if descending else here > there)
    ordered = wanted.order_by(*(column.desc() if descending else column for column in columns))
    ids = tx.connection.execute(ordered).scalars().all()
    known = store.by_ids(tx.connection, ids[:limit])
    found = [known[each] for each in ids[:limit]]
    return found, write_cursor(sort, position(found[-1], sort)) if len(ids) > limit else None


def count(
    tx: Tx, act: Act, filters: ClientFilters = ALL, *, also: IdCondition | None = None, most: int = MAX_COUNTED
) -> Count:
    """Count the matching clients. The result counts at most `most` clients, and says whether there are more."""
    act.principal.require(Role.VIEWER)
    if (
        also is None
        and filters.label
        and filters == ClientFilters(label=filters.label)
        and not unheard_of(filters.label)
    ):
        matching = _holders(filters.label)  # no other table is needed
    else:
        matching = select(clients.c.id).where(*_conditions(tx.connection, filters, act.now, also))
    number = count_up_to(tx.connection, matching, most + 1)
    return Count(number=min(number, most), capped=number > most)


def search(tx: Tx, act: Act, text: str, *, limit: int = 8) -> list[Client]:
    """Find clients by a part of the name or slug, or by the beginning of the client_id, in name order."""
    return page_of(tx, act, ClientFilters(text=text), limit=limit)[0] if text else []


def ids_of_name(tx: Tx, name: str) -> list[str]:
    """Return at most two client_ids of clients with exactly this name, ignoring case.

    The function does not check the role of a principal.
    """
    named = select(clients.c.id).where(false() if unheard_of(name) else clients.c.sort_name == folded(name))
    return list(tx.connection.execute(named.limit(2)).scalars())


def owners(tx: Tx, act: Act) -> list[str]:
    """List at most `MAX_OWNERS` owners of clients, in name order. Of owners that differ only in case, list one."""
    act.principal.require(Role.VIEWER)
    named = select(func.min(clients.c.owner)).group_by(clients.c.sort_owner).order_by(clients.c.sort_owner)
    return list(tx.connection.execute(named.limit(MAX_OWNERS)).scalars())


def ids_matching(text: str) -> Select[tuple[str]]:
    """Return a subquery for the client_ids of the clients that the filter `text` finds.

    Other packages call this function.
    """
    return select(clients.c.id).where(_matches(text))


def usable_proofs(now: datetime) -> Select[tuple[str, str]]:
    """Return a subquery for client_id and kind of each valid proof that a token request can use.

    Other packages call this function. See `Client.usable_proofs`.
    """
    its = proofs.c
    proved = and_(its.kind == ProofKind.SELECTORS, its.trusted_issuer_id.is_not(None), its.trusted_issuer_enabled)
    is_valid = or_(its.expires_at.is_(None), its.expires_at > now)
    usable = or_(its.kind.in_([*CHECKED, ProofKind.UNATTESTED]), proved)
    return select(its.client_id, its.kind).where(is_valid, usable)


def by_slugs(tx: Tx, slugs: Collection[str]) -> dict[str, Client]:
    """Return the clients with these slugs, by slug. Unknown slugs are left out.

    Other packages call this function. The function does not check the role of a principal.
    """
    found: dict[str, Client] = {}
    for some in in_batches(sorted(filter(naming.is_slug, slugs))):
        ids = tx.connection.execute(select(clients.c.id).where(clients.c.slug.in_(some))).scalars().all()
        found |= {client.slug: client for client in store.by_ids(tx.connection, ids).values()}
    return found


def _conditions(
    connection: Connection, filters: ClientFilters, now: datetime, also: IdCondition | None = None
) -> Iterator[ColumnElement[bool]]:
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
    yield from _of_state(filters, now, also)


def _of_state(filters: ClientFilters, now: datetime, also: IdCondition | None) -> Iterator[ColumnElement[bool]]:
    if filters.attention:
        yield _needs(filters.attention, now)
    if filters.can_authenticate is not None:
        unable = _needs(Attention.CANNOT_PROVE, now)
        yield ~unable if filters.can_authenticate else unable
    if also is not None:
        yield also(clients.c.id)


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
    if count_up_to(connection, holders, FEW + 1) <= FEW:  # SQLite has no statistics for this choice
        # Read the clients with the label once. A look-up for each client in list order would be slow for late matches.
        once = holders.cte("holders").prefix_with("MATERIALIZED", dialect="postgresql")
        return clients.c.id.in_(select(once.c.client_id))
    return holders.where(client_labels.c.client_id == clients.c.id).exists()


def _holders(label: str) -> Select[tuple[str]]:
    name, _, value = label.partition("=")
    holders = select(client_labels.c.client_id).where(client_labels.c.name == name)
    return holders.where(client_labels.c.value == value) if value else holders


def _needs(attention: Attention, now: datetime) -> ColumnElement[bool]:
    if attention in _WEAK:
        is_valid = or_(proofs.c.expires_at.is_(None), proofs.c.expires_at > now)
        return clients.c.id.in_(select(proofs.c.client_id).where(proofs.c.kind == _WEAK[attention], is_valid))
    unattested = func.coalesce(clients.c.unattested_until > now, False)
    if attention is Attention.UNATTESTED:
        return unattested
    return and_(~func.coalesce(clients.c.provable_until > now, False), ~unattested)
