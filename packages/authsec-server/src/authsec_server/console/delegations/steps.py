"""Show the steps that create a trust delegation, and load their choices.

The choices are roles, clients, actions and audiences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from authsec_server.apis import service as apis
from authsec_server.apis.model import Api, Described
from authsec_server.audit import counts
from authsec_server.clients import search as client_lists
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.clients.search import ClientFilters, ClientSort
from authsec_server.console.client_status import ClientStatus, statuses_of
from authsec_server.console.delegations.draft import ALL, CONTEXT, STEPS, Draft, DraftStep, fault, typed_draft
from authsec_server.console.roles import Offered, described_actions, typed_role
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Delegation, DelegationState, TargetType, live_twin, state
from authsec_server.failures import Failure, Invalid
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
class Context:
    """The choices of the first step. `actions` are the choices for a new role."""

    roles: OfferedRoles
    clients: OfferedClients
    actions: Sequence[Offered]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """The actions that a person can choose: those of the role. `meanings` says what each action means at each API.

    `used` says how many tokens of the last 30 days carried each action to this client. `dormant` are actions of
    the delegation that the role no longer has.
    """

    role: RoleDefinition
    client: Client
    dormant: Sequence[str]
    meanings: Mapping[str, Sequence[Described]]
    used: Mapping[str, int]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAlready:
    """The live delegations that the client already has in the role, the newest first.

    `twin` is the delegation that is identical to the proposed one, if any.
    """

    live: Sequence[Delegation]
    twin: Delegation | None


def context(tx: Tx, act: Act, role: str, role_text: str, client: str, client_text: str) -> Context:
    """Return the choices of the first step. `role_text` and `client_text` are searches for roles and clients."""
    return Context(
        roles=roles_offered(tx, act, role, role_text),
        clients=clients_offered(tx, act, client, client_text),
        actions=described_actions(tx, act),
    )


def roles_offered(tx: Tx, act: Act, chosen: str, text: str) -> OfferedRoles:
    """Return the roles that match the search. The chosen role comes first if the search does not find it."""
    found, following = roles.page(tx, act, text=text, limit=MOST)
    role = roles.find(tx, chosen)
    extra = [role] if role and role.id not in {each.id for each in found} else []
    return OfferedRoles(offered=extra + found, chosen=role, more=following is not None)


def clients_offered(tx: Tx, act: Act, chosen: str, text: str) -> OfferedClients:
    """Return the clients that match the search. The chosen client comes first if the search does not find it."""
    found, following = client_lists.page_of(
        tx, act, ClientFilters(text=text), sort=ClientSort.CREATED, descending=True, limit=MOST
    )
    client = clients.find(tx, chosen)
    extra = [client] if client and client.id not in {each.id for each in found} else []
    offered = extra + found
    statuses = statuses_of(tx, offered, act.now)
    return OfferedClients(offered=offered, chosen=client, more=following is not None, statuses=statuses)


def actions(tx: Tx, act: Act, role: str, client: str, *, besides: Sequence[str] = ()) -> Actions:
    """Return the actions that the client can get in the role.

    `besides` are actions that the delegation already has. Raises `NotFound` for the role or the client.
    """
    its, who = roles.get(tx, act, role), clients.get(tx, act, client)
    dormant = [action for action in besides if action not in its.actions]
    return Actions(
        role=its,
        client=who,
        dormant=dormant,
        meanings=apis.describing(tx, act, [*its.actions, *dormant]),
        used=counts.actions_used(tx, [who.id], act.now - USED_WITHIN),
    )


def chosen(tx: Tx, draft: Draft) -> Draft:
    """Return the draft with the names of its actions. "all" becomes all actions that the role has now."""
    role = roles.find(tx, draft.role)
    if role is None:
        return draft
    every = draft.actions == (ALL,) or set(draft.actions) == set(role.actions)
    return replace(draft, actions=role.actions, whole=True) if every else draft


def chosen_in_role(tx: Tx, draft: Draft) -> Draft:
    """Return the draft as `chosen` does, but without actions that the role does not have.

    Such actions exist if the person has chosen the role after the actions.
    """
    role = roles.find(tx, draft.role)
    held = () if role is None else tuple(action for action in draft.actions if action in (ALL, *role.actions))
    return chosen(tx, replace(draft, actions=held))


def held_already(tx: Tx, act: Act, proposed: Delegation) -> HeldAlready:
    """Return the client's live delegations that have the same role as the proposed delegation."""
    held = (each for each, _ in delegations.of_client(tx, proposed.client_id) if each.role_id == proposed.role_id)
    live = [each for each in held if state(each, act.now) is DelegationState.LIVE]
    live.sort(key=lambda each: (each.created_at, each.id), reverse=True)
    return HeldAlready(live=live, twin=live_twin(proposed, live, act.now))


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


NEW_ROLE = "role_"
"""The prefix of the field names of a new role."""
Look = Callable[[Tx, Draft], dict[str, Any]]


async def show(visit: PageRequest, step: DraftStep, look: Look) -> Response:
    """Show the step with the values in its query. If an earlier step has a problem, redirect to that step."""

    def work(tx: Tx) -> tuple[str, Draft, Invalid | None, dict[str, Any]]:
        draft = chosen(tx, typed_draft(visit.query))
        found = fault(tx, visit.act, draft, visit.console.terms)
        if found and found.step.number < step.number:
            return draft.at(found.step, check="1", **typed_besides(visit)), draft, None, {}
        told = found and found.step is step and visit.query.ticked("check")
        return "", draft, found.problem if found and told else None, look(tx, draft)

    elsewhere, draft, problem, seen = await visit.read(work)
    return visit.redirect(elsewhere) if elsewhere else shown(visit, step, draft, problem, seen)


def shown(visit: PageRequest, step: DraftStep, draft: Draft, problem: Failure | None, seen: dict[str, Any]) -> Response:
    """Render the page of the step."""
    return visit.render(
        f"delegations/new/{step.key}.html",
        title=f"{step.title} · Create trust delegation",
        problem=problem,
        step=step,
        steps=STEPS,
        draft=draft,
        terms=visit.console.terms,
        **seen,
    )


async def show_context(visit: PageRequest, draft: Draft, problem: Failure | None) -> Response:
    """Show the first step again, with all typed values."""
    look = looking_at_context(visit)
    return shown(visit, CONTEXT, draft, problem, await visit.read(lambda tx: look(tx, draft)))


def looking_at_context(visit: PageRequest) -> Look:
    """Return a function that loads the first step: the choices, the searches, and the typed values of a new role."""
    typed = visit.sent

    def look(tx: Tx, draft: Draft) -> dict[str, Any]:
        role_text, client_text = typed.text("role_text"), typed.text("client_text")
        return {
            "offered": context(tx, visit.act, draft.role, role_text, draft.client, client_text),
            "target_types": [(each, each) for each in TargetType],
            "role_text": role_text,
            "client_text": client_text,
            "new_role": typed_role(typed, NEW_ROLE),
        }

    return look


def typed_besides(visit: PageRequest) -> dict[str, str]:
    """Return what the administrator typed into the two search fields of the first step, as query parameters."""
    typed = visit.sent
    return {name: typed.text(name) for name in ("role_text", "client_text")}
