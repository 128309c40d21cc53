"""Who may call an API at this moment."""

from __future__ import annotations

from dataclasses import dataclass

from authsec_server.apis.model import Api
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.db import Tx
from authsec_server.delegations import queries
from authsec_server.delegations.model import Delegation, Terms
from authsec_server.principal import Act, Role
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A client with a live delegation for the API. `actions` are those that a token of it carries now, sorted.

    `by_default`: the delegation names no API, and this one has the default audience.
    """

    client: Client
    role: RoleDefinition
    delegation: Delegation
    actions: tuple[str, ...]
    by_default: bool


def who_may_call(tx: Tx, act: Act, api: Api, terms: Terms, *, limit: int = 200) -> list[Caller]:
    """The newest live delegations whose tokens this API accepts; disabled clients are left out: they get no token."""
    act.principal.require(Role.VIEWER)
    live = queries.live_for(
        tx.connection,
        api.identifier,
        by_default=api.identifier == terms.default_audience,
        limit=limit,
        now=act.now,
    )
    known_roles = roles.by_ids(tx, {delegation.role_id for delegation in live})
    known_clients = clients.by_ids(tx, {delegation.client_id for delegation in live})
    return [
        Caller(
            client=known_clients[delegation.client_id],
            role=known_roles[delegation.role_id],
            delegation=delegation,
            actions=tuple(sorted(set(delegation.actions) & set(known_roles[delegation.role_id].actions))),
            by_default=not delegation.audiences,
        )
        for delegation in live
        if known_clients[delegation.client_id].enabled
    ]
