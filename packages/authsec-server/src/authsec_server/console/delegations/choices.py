"""Load the choices of a new or edited trust delegation: roles, clients, actions and audiences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from authsec_server.apis import service as apis
from authsec_server.apis.model import Api, Described
from authsec_server.audit import counts
from authsec_server.clients import search as client_lists
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.clients.search import ClientFilters, ClientSort
from authsec_server.console.client_status import ClientStatus, statuses_of
from authsec_server.console.delegations.draft import ALL, Draft
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition

MOST = 100  # roles or clients in one list; a search by name finds the others
USED_WITHIN = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedRoles:
    """The roles that a person can choose, and the chosen role.

    With `more`, there are further roles; a search by name finds them.
    """

    offered: Sequence[RoleDefinition]
    chosen: RoleDefinition | None
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedClients:
    """The clients that a person can choose, and the chosen client. The newest client comes first.

    A new client is the likely choice. With `more`, there are further clients; a search by name finds them.
    """

    offered: Sequence[Client]
    chosen: Client | None
    more: bool
    statuses: Mapping[str, ClientStatus]  # by the client's id


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """The actions that a person can choose: those of the role. `meanings` says what each action means at each API.

    `used` says how many tokens of the last 30 days carried each action to this client. `dormant` are actions of
    the delegation that the role no longer has.
    """

    role: RoleDefinition
    dormant: Sequence[str]
    meanings: Mapping[str, Sequence[Described]]
    used: Mapping[str, int]

    @property
    def undescribed(self) -> int:
        """Return the number of actions that no API describes."""
        return sum(1 for action in self.role.actions if not self.meanings.get(action))

    @property
    def listed(self) -> Sequence[str]:
        """Return all actions that a person can select."""
        return (*self.role.actions, *self.dormant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """An audience that a person can choose. `api` is None if no API is registered for this audience.

    `describes` are the chosen actions that the API describes.
    """

    identifier: str
    api: Api | None
    describes: Sequence[str]


def roles_offered(tx: Tx, act: Act, chosen: str, text: str) -> OfferedRoles:
    """Return the roles that match the search. The chosen role comes first if the search does not find it."""
    found, following = roles.page(tx, act, text=text, limit=MOST)
    role = roles.find(tx, chosen)
    extra = [role] if role and role.id not in {each.id for each in found} else []
    return OfferedRoles(offered=extra + found, chosen=role, more=following is not None)


def clients_offered(
    tx: Tx, act: Act, chosen: str, text: str, silent: Mapping[str, str], *, most: int | None = None
) -> OfferedClients:
    """Return the clients that match the search. The chosen client comes first if the search does not find it.

    `silent` has the unavailable trusted issuers, as `client_status` reads them.
    """
    found, following = client_lists.page_of(
        tx, act, ClientFilters(text=text), sort=ClientSort.CREATED, descending=True, limit=most or MOST
    )
    client = clients.find(tx, chosen)
    extra = [client] if client and client.id not in {each.id for each in found} else []
    offered = extra + found
    statuses = statuses_of(tx, offered, act.now, silent)
    return OfferedClients(offered=offered, chosen=client, more=following is not None, statuses=statuses)


def actions(tx: Tx, act: Act, role: RoleDefinition, client: Client | None, *, besides: Sequence[str] = ()) -> Actions:
    """Return the actions that the client can get in the role. `besides` are actions that the delegation already has."""
    dormant = [action for action in besides if action not in role.actions]
    return Actions(
        role=role,
        dormant=dormant,
        meanings=apis.describing(tx, act, [*role.actions, *dormant]),
        used=counts.actions_used(tx, [client.id], act.now - USED_WITHIN) if client else {},
    )


def chosen(tx: Tx, draft: Draft) -> Draft:
    """Return the draft with the names of its actions. "all" becomes all actions that the role has now.

    Actions that the role does not have become `lacking`. A person who chooses another role gets them back.
    """
    role, asked = roles.find(tx, draft.role), draft.actions
    if role is None:
        return replace(draft, actions=(), lacking=asked)
    held = role.actions if ALL in asked else tuple(action for action in role.actions if action in asked)
    lacking = tuple(action for action in asked if action not in (ALL, *role.actions))
    return replace(draft, actions=held, lacking=lacking, whole=len(held) == len(role.actions))


def audiences(tx: Tx, act: Act, chosen: Sequence[str], allowed: Sequence[str]) -> list[Audience]:
    """Return the audiences that a person can choose: first those of registered APIs, then other chosen audiences.

    The APIs that describe the most of the allowed actions come first.
    """
    found, _ = apis.page(tx, act, limit=MOST)
    offered = [
        Audience(
            identifier=api.identifier,
            api=api,
            describes=[each.action for each in api.actions if each.action in allowed],
        )
        for api in found
    ]
    known = {name for api in found for name in (api.identifier, api.slug)}
    others = [Audience(identifier=each, api=None, describes=()) for each in dict.fromkeys(chosen) if each not in known]
    return sorted(offered, key=lambda each: -len(each.describes)) + others


def suggested_api(tx: Tx, act: Act, offered: Actions, actions: Sequence[str]) -> tuple[str, ...]:
    """Return the audience of the API that describes all these actions. Return nothing if there are several or none."""
    describing = [{each.api_id for each in offered.meanings.get(action, ())} for action in actions]
    found = set.intersection(*describing) if describing else set()
    return (apis.get(tx, act, found.pop()).identifier,) if len(found) == 1 else ()
