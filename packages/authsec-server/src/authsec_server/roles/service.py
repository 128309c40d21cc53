"""The verbs of roles."""

from __future__ import annotations

from collections.abc import Collection

from authsec_server.db import Tx
from authsec_server.roles import store
from authsec_server.roles.model import RoleDefinition


def by_ids(tx: Tx, ids: Collection[str]) -> dict[str, RoleDefinition]:
    """The roles with these ids, by id. Asks for no principal: for the rooms above."""
    return store.by_ids(tx.connection, ids)
