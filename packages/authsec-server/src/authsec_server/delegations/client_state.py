"""The state of a client: whether it can get a token now, and if not, the first reason. All functions are pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from authsec_server.clients.model import Client
from authsec_server.delegations.model import Delegation, grant_gap
from authsec_server.roles.model import RoleDefinition


class ClientState(StrEnum):
    """The first state that applies, in this order. Only a `READY` client gets tokens."""

    DISABLED = "disabled"
    UNPROVED = "unproved"  # this authority can verify none of the client's proofs
    UNDELEGATED = "undelegated"  # no live delegation gives the client an action for one of its proofs
    READY = "ready"

    @property
    def shown(self) -> str:
        """Return the state's name for people."""
        special = {ClientState.UNPROVED: "Can't authenticate", ClientState.UNDELEGATED: "No delegation"}
        return special.get(self, self.value.capitalize())


def client_state(client: Client, held: Iterable[tuple[Delegation, RoleDefinition]], now: datetime) -> ClientState:
    """Return the state of the client. `held` are the client's delegations with their current roles."""
    if not client.enabled:
        return ClientState.DISABLED
    if not client.usable_proofs(now):
        return ClientState.UNPROVED
    is_granted = any(grant_gap(client, delegation, role, now) is None for delegation, role in held)
    return ClientState.READY if is_granted else ClientState.UNDELEGATED
