"""Effective permissions: the actions of a client, and the callers of an API.

Each action and each caller comes with its delegation and role.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from authsec_server.apis import service as apis
from authsec_server.apis.model import Api
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.db import Tx
from authsec_server.delegations import service, store
from authsec_server.delegations.model import (
    Delegation,
    DelegationParties,
    DelegationState,
    GrantGap,
    Terms,
    grant_gap,
    state,
)
from authsec_server.principal import Act, Role
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition

_AT_ONCE: Final = 500  # actions of one statement: SQLite takes a limited number of parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveAction:
    """One action that one live delegation allows.

    `description` comes from the APIs that describe the action. If they differ, it names each API. `max_duration` is in
    seconds, and never above the limit in the settings.

    `dormant` is true if the role no longer has the action. Tokens then do not contain the action. If the role
    gets the action again, new tokens contain the action.
    """

    action: str
    description: str
    delegation: Delegation
    role: RoleDefinition
    audiences: tuple[str, ...]
    max_duration: int
    dormant: bool

    def gap(self, client: Client, now: datetime) -> GrantGap | None:
        """Return why the delegation itself grants the client nothing, or None. `client` has the delegation."""
        found = grant_gap(client, self.delegation, self.role, now)
        return found if found and found.is_of_delegation else None


def effective_actions(tx: Tx, act: Act, client_id: str, terms: Terms) -> list[EffectiveAction]:
    """Return the actions of the client's live delegations, sorted by action. Raises `NotFound`.

    For a disabled client, the list is the same, although the client gets no token.
    """
    act.principal.require(Role.VIEWER)
    client = clients.get(tx, act, client_id)
    live = [
        (delegation, role)
        for delegation, role in service.of_client(tx, client.id)
        if state(delegation, act.now) is DelegationState.LIVE
    ]
    described = _meanings(tx, act, sorted({action for delegation, _ in live for action in delegation.actions}))
    found = [each for delegation, role in live for each in _of(delegation, role, described, terms)]
    return sorted(found, key=lambda each: (each.action, each.dormant, each.delegation.id))


def _meanings(tx: Tx, act: Act, actions: Sequence[str]) -> dict[str, str]:
    """Map each described action to its description, or to those of several APIs with their names."""
    found: dict[str, str] = {}
    for start in range(0, len(actions), _AT_ONCE):
        for action, described in apis.describing(tx, act, actions[start : start + _AT_ONCE]).items():
            given = [each for each in described if each.description]
            if len({each.description for each in given}) > 1:
                found[action] = "; ".join(f"{each.api_name}: {each.description}" for each in given)
            elif given:
                found[action] = given[0].description
    return found


def _of(
    delegation: Delegation, role: RoleDefinition, described: Mapping[str, str], terms: Terms
) -> Iterator[EffectiveAction]:
    for action in delegation.actions:
        yield EffectiveAction(
            action=action,
            description=described.get(action, ""),
            delegation=delegation,
            role=role,
            audiences=delegation.audiences or (terms.default_audience,),
            max_duration=min(delegation.max_duration, terms.max_token_lifetime),
            dormant=action not in role.actions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCaller(DelegationParties):
    """A client with a live delegation for the API. `actions` are the actions that its tokens have now, sorted.

    `by_default` is true if the delegation names no API, and this API has the default audience.
    """

    actions: tuple[str, ...]
    by_default: bool


def callers_of(tx: Tx, act: Act, api: Api, terms: Terms, *, limit: int = 50) -> tuple[list[ApiCaller], bool]:
    """Return the callers of this API: the newest live delegations whose tokens the API accepts. And whether more exist.

    Disabled clients are left out, because they get no token.
    """
    act.principal.require(Role.VIEWER)
    live = store.live_for(
        tx.connection,
        api.identifier,
        by_default=api.identifier == terms.default_audience,
        limit=limit + 1,
        now=act.now,
    )
    callers = [each for each in _callers(tx, live[:limit]) if each.client.enabled]
    return callers, len(live) > limit


def _callers(tx: Tx, live: Sequence[Delegation]) -> list[ApiCaller]:
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
    ]


_WITH_DPOP: Final = 50  # delegations that are examined; of more, one probably grants something


def needs_dpop(tx: Tx, act: Act, api: Api, terms: Terms) -> bool:
    """Return whether a live delegation for this API grants only tokens that are bound to a key (DPoP).

    Delegations that grant nothing are left out.
    """
    act.principal.require(Role.VIEWER)
    found = store.live_for(
        tx.connection,
        api.identifier,
        by_default=api.identifier == terms.default_audience,
        limit=_WITH_DPOP,
        now=act.now,
        with_dpop=True,
    )
    return len(found) == _WITH_DPOP or not all(each.grants_nothing(act.now) for each in _callers(tx, found))
