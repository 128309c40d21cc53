"""Search and list clients for callers, and find many clients by slug in one call."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Select, select

from authsec_server import naming
from authsec_server.clients import search_sql, store
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
    """Return a page of clients after the cursor, and the cursor of the next page. Raises `Invalid`.

    The cursor names the last client, not a page number. So the page does not shift if somebody adds, renames or
    deletes clients.
    """
    act.principal.require(Role.VIEWER)
    limit = max(1, min(limit, MAX_PAGE))
    after = read_cursor(sort, cursor) if cursor else None
    ids = search_sql.page(
        tx.connection, filters, act.now, sort=sort, descending=descending, after=after, limit=limit + 1
    )
    known = store.by_ids(tx.connection, ids[:limit])
    found = [known[each] for each in ids[:limit]]
    return found, write_cursor(sort, position(found[-1], sort)) if len(ids) > limit else None


def count(tx: Tx, act: Act, filters: ClientFilters = ALL) -> Count:
    """Count the matching clients. The result counts at most 10,000 clients, and says whether there are more."""
    act.principal.require(Role.VIEWER)
    number = search_sql.count(tx.connection, filters, act.now)
    return Count(number=min(number, MAX_COUNTED), capped=number > MAX_COUNTED)


def search(tx: Tx, act: Act, text: str, *, limit: int = 8) -> list[Client]:
    """Find clients by a part of the name or slug, or by the beginning of the client_id, in name order."""
    return page_of(tx, act, ClientFilters(text=text), limit=limit)[0] if text else []


def ids_of_name(tx: Tx, name: str) -> list[str]:
    """Return at most two client_ids of clients with exactly this name, ignoring case.

    The function does not check the role of a principal.
    """
    return search_sql.called(tx.connection, name, 2)


def owners(tx: Tx, act: Act) -> list[str]:
    """List at most `MAX_OWNERS` owners of clients, in name order."""
    act.principal.require(Role.VIEWER)
    return search_sql.owners(tx.connection, MAX_OWNERS)


def ids_matching(text: str) -> Select[tuple[str]]:
    """Return a subquery for the client_ids of the clients that the filter `text` finds.

    Other packages call this function.
    """
    return search_sql.ids_matching(text)


def by_slugs(tx: Tx, slugs: Collection[str]) -> dict[str, Client]:
    """Return the clients with these slugs, by slug. Unknown slugs are left out.

    Other packages call this function. The function does not check the role of a principal.
    """
    found: dict[str, Client] = {}
    for some in in_batches(sorted(filter(naming.is_slug, slugs))):
        called = select(store.clients.c.id).where(store.clients.c.slug.in_(some))
        ids = tx.connection.execute(called).scalars().all()
        found |= {client.slug: client for client in store.by_ids(tx.connection, ids).values()}
    return found
