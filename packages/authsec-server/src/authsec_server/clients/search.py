"""Lists of clients, for people who look for some among many, and many by their slugs at once."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Select, select

from authsec_server import naming
from authsec_server.clients import queries, store
from authsec_server.clients.filters import (
    MAX_COUNTED,
    ClientFilters,
    ClientSort,
    Count,
    position,
    read_cursor,
    write_cursor,
)
from authsec_server.clients.model import Client
from authsec_server.db import Tx
from authsec_server.db.matching import in_batches
from authsec_server.principal import Act, Role

MAX_PAGE = 200
MAX_OWNERS = 500
ALL = ClientFilters()


def page_of(
    tx: Tx,
    act: Act,
    filters: ClientFilters = ALL,
    *,
    sort: ClientSort = ClientSort.NAME,
    descending: bool = False,
    cursor: str = "",
    limit: int = 50,
) -> tuple[list[Client], str | None]:
    """A page of clients, from the first one behind the cursor; and the next page's cursor. Raises `Invalid`.

    Whatever is added, renamed or deleted meanwhile disturbs no other: a page begins at a place, not at a count.
    """
    act.principal.require(Role.VIEWER)
    limit = max(1, min(limit, MAX_PAGE))
    after = read_cursor(sort, cursor) if cursor else None
    ids = queries.page(tx.connection, filters, act.now, sort=sort, descending=descending, after=after, limit=limit + 1)
    known = store.by_ids(tx.connection, ids[:limit])
    found = [known[each] for each in ids[:limit]]
    return found, write_cursor(sort, position(found[-1], sort)) if len(ids) > limit else None


def count(tx: Tx, act: Act, filters: ClientFilters = ALL) -> Count:
    """How many clients there are; beyond 10,000 only that."""
    act.principal.require(Role.VIEWER)
    number = queries.count(tx.connection, filters, act.now)
    return Count(number=min(number, MAX_COUNTED), capped=number > MAX_COUNTED)


def search(tx: Tx, act: Act, text: str, *, limit: int = 8) -> list[Client]:
    """The first clients by name whose name or slug contains the text, or whose client_id begins with it."""
    return page_of(tx, act, ClientFilters(text=text), limit=limit)[0] if text else []


def ids_of_name(tx: Tx, name: str) -> list[str]:
    """The client_ids of those that are called exactly so, in any case; two at most. Asks for no principal."""
    return queries.called(tx.connection, name, 2)


def owners(tx: Tx, act: Act) -> list[str]:
    """Who owns clients, by name, at most `MAX_OWNERS` of them."""
    act.principal.require(Role.VIEWER)
    return queries.owners(tx.connection, MAX_OWNERS)


def ids_matching(text: str) -> Select[tuple[str]]:
    """The client_ids that a list would find for the text, as a part of another statement. For the rooms above."""
    return queries.ids_matching(text)


def by_slugs(tx: Tx, slugs: Collection[str]) -> dict[str, Client]:
    """The clients with these slugs, by slug; unknown ones are left out. Asks for no principal: for the rooms above."""
    found: dict[str, Client] = {}
    for some in in_batches(sorted(filter(naming.is_slug, slugs))):
        called = select(store.clients.c.id).where(store.clients.c.slug.in_(some))
        ids = tx.connection.execute(called).scalars().all()
        found |= {client.slug: client for client in store.by_ids(tx.connection, ids).values()}
    return found
