"""Many clients by their slugs at once: for the room that reads and writes them as one document."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from authsec_server import naming
from authsec_server.clients import store
from authsec_server.clients.model import Client
from authsec_server.db import Tx
from authsec_server.db.batches import in_batches


def by_slugs(tx: Tx, slugs: Collection[str]) -> dict[str, Client]:
    """The clients with these slugs, by slug; unknown ones are left out. Asks for no principal: for the rooms above."""
    found: dict[str, Client] = {}
    for some in in_batches(sorted(filter(naming.is_slug, slugs))):
        called = select(store.clients.c.id).where(store.clients.c.slug.in_(some))
        ids = tx.connection.execute(called).scalars().all()
        found |= {client.slug: client for client in store.by_ids(tx.connection, ids).values()}
    return found
