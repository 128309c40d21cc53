"""What a client may do at this moment, and who may call an API: each action traced to its delegation and role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from authsec_server.apis import service as apis
from authsec_server.apis.model import Api
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.db import Tx
from authsec_server.delegations import service, store
from authsec_server.delegations.model import Delegation, DelegationState, Terms, state
from authsec_server.principal import Act, Role
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """One action under one live delegation. `description` is an API's, empty where none describes it.

    `dormant`: the delegation allows it, the role no longer holds it, so no token carries it; were the role given it
    again, tokens would. `max_duration` is in seconds, the setting's cap already applied.
    """

    action: str
    description: str
    delegation: Delegation
    role: RoleDefinition
    audiences: tuple[str, ...]
    max_duration: int
    dormant: bool


def effective(tx: Tx, act: Act, client_id: str, terms: Terms) -> list[Effective]:
    """What the client's live delegations give, by action. A client that is disabled gets none of it. `NotFound`."""
    act.principal.require(Role.VIEWER)
    client = clients.get(tx, act, client_id)
    described = apis.described(tx)
    found = [
        each
        for delegation, role in service.of_client(tx, client.id)
        if state(delegation, act.now) is DelegationState.LIVE
        for each in _of(delegation, role, described, terms)
    ]
    return sorted(found, key=lambda each: (each.action, each.dormant, each.delegation.id))


def _of(
    delegation: Delegation, role: RoleDefinition, described: Mapping[str, str], terms: Terms
) -> Iterator[Effective]:
    for action in delegation.actions:
        yield Effective(
            action=action,
            description=described.get(action, ""),
            delegation=delegation,
            role=role,
            audiences=delegation.audiences or (terms.default_audience,),
            max_duration=min(delegation.max_duration, terms.max_token_lifetime),
            dormant=action not in role.actions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCaller:
    """A client with a live delegation for the API. `actions` are those that a token of it carries now, sorted.

    `by_default`: the delegation names no API, and this one has the default audience.
    """

    client: Client
    role: RoleDefinition
    delegation: Delegation
    actions: tuple[str, ...]
    by_default: bool


def who_may_call(tx: Tx, act: Act, api: Api, terms: Terms, *, limit: int = 200) -> list[ApiCaller]:
    """The newest live delegations whose tokens this API accepts; disabled clients are left out: they get no token."""
    act.principal.require(Role.VIEWER)
    live = store.live_for(
        tx.connection,
        api.identifier,
        by_default=api.identifier == terms.default_audience,
        limit=limit,
        now=act.now,
    )
    known_roles = roles.by_ids(tx, {delegation.role_id for delegation in live})
    known_clients = clients.by_ids(tx, {delegation.client_id for delegation in live})
    return [
        ApiCaller(
            client=known_clients[delegation.client_id],
            role=known_roles[delegation.role_id],
            delegation=delegation,
            actions=tuple(sorted(set(delegation.actions) & set(known_roles[delegation.role_id].actions))),
            by_default=not delegation.audiences,
        )
        for delegation in live
        if known_clients[delegation.client_id].enabled
    ]
