"""Deleting what delegations tie together: a client, a role. What was delegated goes with it, in the same change.

The journal keeps what there was, the revocation feed what ended.
"""

from __future__ import annotations

from authsec_server.audit.model import EventKind, Named
from authsec_server.clients import changes
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.db import Tx
from authsec_server.delegations import store
from authsec_server.delegations.model import OVER, Terms, state
from authsec_server.delegations.standing import named, record, standings
from authsec_server.failures import Conflict
from authsec_server.principal import Act, Role
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition

_SHOWN = 5  # delegations named in a message


def delete_client(tx: Tx, act: Act, client_id: str, terms: Terms) -> Client:
    """Delete the client with its proofs and delegations, and end all its tokens. Raises `NotFound`."""
    act.principal.require(Role.OPERATOR)
    client = clients.get(tx, act, client_id)
    held = standings(tx, store.of_client(tx.connection, client.id), terms, act.now)
    for standing in held:
        if standing.state not in OVER:
            revocations.end(tx, SubjectKind.DELEGATION, standing.delegation.id, act.now)
            record(tx, act, EventKind.DELEGATION_REVOKED, standing, because="its client was deleted")
    store.remove_of_client(tx.connection, client.id)
    gone = tuple(named(standing.delegation, standing.role, client) for standing in held)
    changes.delete(tx, act, client, delegations=gone)
    return client


def delete_role(tx: Tx, act: Act, role_id: str) -> RoleDefinition:
    """Delete the role, and with it the delegations of it that are over. Raises `NotFound`, or `Conflict`.

    It is refused while a delegation is live or disabled: to end authority is a decision about each of them.
    """
    act.principal.require(Role.OPERATOR)
    role = roles.get(tx, act, role_id)
    held = store.of_role(tx.connection, role.id)
    known = clients.by_ids(tx, {delegation.client_id for delegation in held})
    names = {delegation.id: named(delegation, role, known[delegation.client_id]) for delegation in held}
    if in_use := [delegation for delegation in held if state(delegation, act.now) not in OVER]:
        raise _used(role, [names[delegation.id] for delegation in in_use])
    store.remove_of_role(tx.connection, role.id)
    roles.remove(tx, act, role, delegations=tuple(names.values()))
    return role


def _used(role: RoleDefinition, in_use: list[Named]) -> Conflict:
    listed = ", ".join(f"{each.name} ({each.id})" for each in in_use[:_SHOWN])
    more = len(in_use) - _SHOWN
    count = "One trust delegation uses" if len(in_use) == 1 else f"{len(in_use)} trust delegations use"
    return Conflict(
        f"{count} the role {role.name!r}: {listed}{f' and {more} more' if more > 0 else ''}.",
        "Revoke them first; what is over goes with the role.",
    )
