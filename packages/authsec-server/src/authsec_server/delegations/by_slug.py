"""Many delegations by their slugs at once: for the room that reads and writes them as one document."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.delegations import store
from authsec_server.delegations.model import Delegation

_BATCH = 500  # values in one statement


def by_slugs(tx: Tx, slugs: Collection[str]) -> dict[str, Delegation]:
    """The delegations with these slugs, in any state; unknown ones are left out. Asks for no principal."""
    asked, found = sorted(filter(naming.is_slug, slugs)), dict[str, Delegation]()
    for start in range(0, len(asked), _BATCH):
        some = select(store.delegations).where(store.delegations.c.slug.in_(asked[start : start + _BATCH]))
        found |= {each.slug: each for each in map(store.delegation, tx.connection.execute(some))}
    return found


def of_clients(tx: Tx, client_ids: Collection[str]) -> list[Delegation]:
    """All of these clients, in any state. Asks for no principal: for the room above."""
    return store.of_clients(tx.connection, client_ids)
