"""The verbs of trust delegations."""

from __future__ import annotations

from authsec_server.db import Tx
from authsec_server.delegations import store
from authsec_server.delegations.model import Delegation
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition


def of_client(tx: Tx, client_id: str) -> list[tuple[Delegation, RoleDefinition]]:
    """All of the client's delegations, whatever their state, each with its role as it is now.

    Two statements, however many there are. Asks for no principal: for the token path.
    """
    held = store.of_client(tx.connection, client_id)
    known = roles.by_ids(tx, {delegation.role_id for delegation in held}) if held else {}
    return [(delegation, known[delegation.role_id]) for delegation in held]
