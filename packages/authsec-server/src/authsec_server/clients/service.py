"""The verbs of clients: onboarding, turning off and on."""

from __future__ import annotations

from collections.abc import Collection

from authsec_server.clients import store
from authsec_server.clients.model import Client
from authsec_server.db import Tx


def load(tx: Tx, client_id: str) -> Client | None:
    """The client with its proofs. Asks for no principal: for the token path."""
    return store.by_ids(tx.connection, [client_id]).get(client_id)


def by_ids(tx: Tx, ids: Collection[str]) -> dict[str, Client]:
    """The clients with these ids, by id. Asks for no principal: for the rooms above."""
    return store.by_ids(tx.connection, ids)
