"""Read the current configuration: all entities, or only the entities that a document needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar

from authsec_server.apis import service as apis
from authsec_server.apis.model import Api
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.clients.search import by_slugs as clients_by_slugs
from authsec_server.db import Tx
from authsec_server.delegations import search
from authsec_server.delegations.model import Delegation, DelegationFilters, DelegationSort, DelegationState
from authsec_server.delegations.resolve import by_slugs as delegations_by_slugs
from authsec_server.delegations.resolve import number_of_clients
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import TrustedIssuer
from authsec_server.principal import Act, Role
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition

_PAGE: Final = 500
_EVERY: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The agents and delegations to read: all of them, or only the agents and delegations with these slugs.

    Trusted issuers, APIs and roles are always read completely, because there are few of them.
    """

    agents: Collection[str] = ()
    delegations: Collection[str] = ()
    every_agent: bool = False
    every_delegation: bool = False


EVERYTHING: Final = Scope(every_agent=True, every_delegation=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The current configuration, by slug, at one authority version.

    `slugs` maps ids to slugs, for the entities that other entities refer to. `delegations` contains an ended or
    revoked delegation only if the document names it. `delegated` is the number of delegations of each agent, in
    any state.
    """

    version: int
    now: datetime
    issuers: Mapping[str, TrustedIssuer]
    apis: Mapping[str, Api]
    roles: Mapping[str, RoleDefinition]
    agents: Mapping[str, Client]
    delegations: Mapping[str, Delegation]
    slugs: Mapping[str, str]
    delegated: Mapping[str, int]


class _Slugged(Protocol):
    @property
    def slug(self) -> str: ...


S = TypeVar("S", bound=_Slugged)


def present(tx: Tx, act: Act, scope: Scope = EVERYTHING) -> Present:
    """Read the current configuration. Requires the viewer role."""
    act.principal.require(Role.VIEWER)
    held, given = _agents(tx, act, scope), _delegations(tx, act, scope)
    trusted_issuers = _every(lambda after: issuers.page(tx, act, after=after, limit=_PAGE))
    named = _every(lambda after: roles.page(tx, act, after=after, limit=_PAGE))
    known = {client.id: client.slug for client in held.values()}
    others = clients.by_ids(tx, {each.client_id for each in given.values()} - known.keys())
    return Present(
        version=tx.version,
        now=act.now,
        issuers=trusted_issuers,
        apis=_every(lambda after: apis.page(tx, act, after=after, limit=_PAGE)),
        roles=named,
        agents=held,
        delegations=given,
        slugs=known
        | {each.id: each.slug for each in others.values()}
        | {each.id: each.slug for each in trusted_issuers.values()}
        | {each.id: each.slug for each in named.values()},
        delegated=number_of_clients(tx, known.keys(), act.now),
    )


def _agents(tx: Tx, act: Act, scope: Scope) -> Mapping[str, Client]:
    if scope.every_agent:
        return _every(lambda after: clients.page(tx, act, after=after, limit=_PAGE))
    return clients_by_slugs(tx, scope.agents)


def _delegations(tx: Tx, act: Act, scope: Scope) -> Mapping[str, Delegation]:
    found = delegations_by_slugs(tx, scope.delegations)
    if scope.every_delegation:
        for state in (DelegationState.LIVE, DelegationState.DISABLED):
            every = search.first(tx, act, DelegationFilters(state=state), sort=DelegationSort.OLDEST, limit=_EVERY)
            found |= {each.slug: each for each in every}
    return dict(sorted(found.items()))


def _every(page: Callable[[str], tuple[list[S], str | None]]) -> dict[str, S]:
    """Return the items of all pages, by slug, in slug order."""
    found: dict[str, S] = {}
    after: str | None = ""
    while after is not None:
        items, after = page(after)
        found |= {each.slug: each for each in items}
    return found
