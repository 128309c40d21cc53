"""Many delegations by their slugs at once: for the room that reads and writes them as one document."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.delegations import queries, store
from authsec_server.delegations.model import Delegation

_BATCH = 500  # values in one statement


def by_slugs(tx: Tx, slugs: Collection[str]) -> dict[str, Delegation]:
    """The delegations with these slugs, in any state; unknown ones are left out. Asks for no principal."""
    asked, found = sorted(filter(naming.is_slug, slugs)), dict[str, Delegation]()
    for start in range(0, len(asked), _BATCH):
        some = select(store.delegations).where(store.delegations.c.slug.in_(asked[start : start + _BATCH]))
        found |= {each.slug: each for each in map(store.delegation, tx.connection.execute(some))}
    return found


def number_of_clients(tx: Tx, client_ids: Collection[str], now: datetime) -> dict[str, int]:
    """How many each of these clients has, in any state; those without any are left out. Asks for no principal."""
    asked, found = sorted(client_ids), dict[str, int]()
    for start in range(0, len(asked), _BATCH):
        uses = queries.uses_by_client(tx.connection, asked[start : start + _BATCH], now)
        found |= {client_id: its.live + its.disabled + its.over for client_id, its in uses.items()}
    return found
