"""Many delegations by their slugs at once: for the room that reads and writes them as one document."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.db.batches import in_batches
from authsec_server.delegations import queries, store
from authsec_server.delegations.model import Delegation


def by_slugs(tx: Tx, slugs: Collection[str]) -> dict[str, Delegation]:
    """The delegations with these slugs, in any state; unknown ones are left out. Asks for no principal."""
    found: dict[str, Delegation] = {}
    for some in in_batches(sorted(filter(naming.is_slug, slugs))):
        called = select(store.delegations).where(store.delegations.c.slug.in_(some))
        found |= {each.slug: each for each in map(store.delegation, tx.connection.execute(called))}
    return found


def number_of_clients(tx: Tx, client_ids: Collection[str], now: datetime) -> dict[str, int]:
    """How many each of these clients has, in any state; those without any are left out. Asks for no principal."""
    found: dict[str, int] = {}
    for some in in_batches(sorted(client_ids)):
        uses = queries.uses_by_client(tx.connection, some, now)
        found |= {client_id: its.live + its.disabled + its.over for client_id, its in uses.items()}
    return found
