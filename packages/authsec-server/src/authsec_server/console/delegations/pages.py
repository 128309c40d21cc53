"""The list of trust delegations. The page of one: its permissions, use and tokens; disable, enable, revoke.

The list marks a new delegation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.apis import service as apis
from authsec_server.audit import counts
from authsec_server.audit import service as audit
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.console.client_status import status_of, statuses_of
from authsec_server.console.confirm import Confirmation, Question, already_is, once, redirect_to
from authsec_server.console.delegations.choices import USED_WITHIN
from authsec_server.console.delegations.draft import NOT_YET
from authsec_server.console.forms import Form
from authsec_server.console.issuers.unavailable import outages
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact, search
from authsec_server.delegations import service as delegations
from authsec_server.delegations.effective import effective_actions
from authsec_server.delegations.model import (
    ENDED_STATES,
    UNUSED_FOR,
    DelegationFilters,
    DelegationSort,
    DelegationState,
    ResolvedDelegation,
    TargetType,
    title,
    unused,
)
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition
from authsec_server.tokens.preview import preview_delegation
from authsec_server.tokens.refusal import Denied
from authsec_server.tokens.revocation import revoked

PAGE = 50
SORTS = (
    (DelegationSort.NEWEST, "Newest first"),
    (DelegationSort.OLDEST, "Oldest first"),
    (DelegationSort.ENDS, "Earliest end date first"),
)
UNUSED = "unused"
"""A filter that is chosen like a state: live for a month, and never used."""
STATES = [*((each.value, each.capitalize()) for each in DelegationState), (UNUSED, "Live, never used")]
SHOWN_APIS = 2  # in each row
E = TypeVar("E", bound=Enum)


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the list and of one delegation."""
    return [
        console.page("/delegations", listing),
        *(each.route(console) for each in CONFIRMATIONS),
        console.page("/delegations/{delegation}", detail),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationsQuery:
    """The filters of the list. Unknown values are ignored."""

    filters: DelegationFilters
    role: RoleDefinition | None
    client: Client | None

    @property
    def narrowed(self) -> bool:
        """Whether any filter is set."""
        return self.filters != DelegationFilters()


async def listing(visit: PageRequest) -> Response:
    """Show the list."""
    query, terms, silent = visit.query, visit.console.terms, await outages(visit)
    sort, cursor = _one_of(DelegationSort, query.text("sort")) or DelegationSort.NEWEST, query.text("cursor")

    def look(tx: Tx) -> dict[str, Any]:
        asked = _asked(tx, query, visit.act.now)
        found, following = search.page(tx, visit.act, terms, asked.filters, sort=sort, after=cursor, limit=PAGE)
        return {
            "asked": asked,
            "rows": found,
            "chips": _chips(visit, asked),
            "narrowed": asked.narrowed,
            "apis": apis.by_identifiers(tx, {api for each in found for api in each.delegation.audiences[:SHOWN_APIS]}),
            "following": following,
            "statuses": statuses_of(tx, [each.client for each in found], visit.act.now, silent),
            "uses": counts.last_uses(tx, [each.delegation.id for each in found]),
        }

    return visit.render(
        "delegations/list.html",
        title="Trust Delegation",
        new=query.text("new"),
        sort=sort,
        cursor=cursor,
        sorts=SORTS,
        state=query.text("state"),
        shown_apis=SHOWN_APIS,
        unused_for=UNUSED_FOR,
        states=STATES,
        target_types=[(each, each) for each in TargetType],
        terms=terms,
        **await visit.read(look),
    )


def _asked(tx: Tx, query: Form, now: datetime) -> DelegationsQuery:
    role, client = roles.find(tx, query.text("role")), clients.find(tx, query.text("client"))
    state = query.text("state")
    filters = replace(
        unused(now) if state == UNUSED else DelegationFilters(state=_one_of(DelegationState, state)),
        text=query.text("q")[:200],
        role_id=role.id if role else None,
        client_id=client.id if client else None,
        target_type=_one_of(TargetType, query.text("target_type")),
    )
    return DelegationsQuery(filters=filters, role=role, client=client)


def _chips(visit: PageRequest, asked: DelegationsQuery) -> list[tuple[str, str, str]]:
    """Return the label, the value and the path without the filter, for each active filter."""
    filters = asked.filters
    active = {
        "q": ("Search", filters.text),
        "state": ("State", dict(STATES).get(UNUSED if filters.unused_since else filters.state or "", "")),
        "target_type": ("Target Type", filters.target_type or ""),
        "role": ("Role", asked.role.name if asked.role else ""),
        "client": ("Client", asked.client.name if asked.client else ""),
    }
    without = {"cursor": None, "done": None, "new": None}
    return [(label, value, visit.here(**without, **{name: None})) for name, (label, value) in active.items() if value]


def _one_of(kind: type[E], text: str) -> E | None:
    return next((each for each in kind if each.value == text), None)


VERSION = "(the authority version when the token is requested)"
"""A placeholder. Creating a delegation raises the authority version, so no token of the delegation can have the
current version."""
_LAST = "~"  # an id that sorts after every real id; NOT_YET sorts before


def foreseen(tx: Tx, visit: PageRequest, resolved: ResolvedDelegation) -> dict[str, Any]:
    """Return the preview of a token for the template.

    The preview has `claims` as JSON, or the refusal `denied`. `provable` says whether this authority can verify
    the client's proof.
    """
    shown = preview_delegation(tx, visit.act, visit.console.tokens.issuance, resolved)
    if isinstance(shown, Denied):
        return {"claims": "", "denied": shown.details or shown.reason, "provable": False, "by_id": False}
    return {"claims": _as_text(shown.claims), "denied": "", "provable": shown.provable, "by_id": False}


def foreseen_draft(tx: Tx, visit: PageRequest, resolved: ResolvedDelegation) -> dict[str, Any]:
    """Return the preview of a token under a delegation that has no id yet.

    If `by_id` is true, the claims depend on the id that the delegation will get. The id decides how the
    delegation combines with the client's other delegations.
    """
    seen = foreseen(tx, visit, resolved)
    if not seen["claims"]:
        return seen
    first = json.loads(seen["claims"]) | {"authority_version": VERSION}
    as_last = replace(resolved, delegation=replace(resolved.delegation, id=_LAST))
    last = json.loads(foreseen(tx, visit, as_last)["claims"]) | {"authority_version": VERSION}
    last["delegation_ids"] = [NOT_YET if each == _LAST else each for each in last["delegation_ids"]]
    return seen | {"claims": _as_text(first), "by_id": first != last}


def _as_text(claims: dict[str, Any]) -> str:
    return json.dumps(claims, indent=2, ensure_ascii=False)


TOKENS = 10  # tokens on one page


async def detail(visit: PageRequest) -> Response:
    """Show one delegation."""
    before, silent = visit.query.number("before") or None, await outages(visit)

    def look(tx: Tx) -> dict[str, Any]:
        resolved = delegations.get(tx, visit.act, visit.named("delegation"), visit.console.terms)
        its = resolved.delegation
        minted = audit.minted_under(tx, visit.act.principal, its.client_id, its.id, before=before, limit=TOKENS)
        return {
            "resolved": resolved,
            "client_status": status_of(tx, resolved.client, visit.act.now, silent),
            "dormant": _dormant(tx, visit, resolved),
            "apis": apis.by_identifiers(tx, set(its.audiences)),
            "meanings": apis.describing(tx, visit.act, its.actions),
            "used": counts.actions_used(tx, [its.id], visit.act.now - USED_WITHIN),
            "use": counts.last_uses(tx, [its.id]).get(its.id),
            "minted": minted,
            "revoked": revoked(tx, minted.items),
            "foreseen": foreseen(tx, visit, resolved) if resolved.state is DelegationState.LIVE else None,
        }

    seen = await visit.read(look)
    resolved = seen["resolved"]
    return visit.render(
        "delegations/detail.html",
        title=title(resolved.role.name, resolved.client.name),
        over=resolved.state in ENDED_STATES,
        before=before,
        terms=visit.console.terms,
        **seen,
    )


def _dormant(tx: Tx, visit: PageRequest, resolved: ResolvedDelegation) -> set[str]:
    """Return the delegation's actions that are no longer in the role. No token carries these actions."""
    held = effective_actions(tx, visit.act, resolved.client.id, visit.console.terms)
    return {each.action for each in held if each.dormant and each.delegation.id == resolved.delegation.id}


def _look(tx: Tx, visit: PageRequest) -> Question:
    reference, terms = visit.named("delegation"), visit.console.terms
    resolved = delegations.propose_enabling(tx, visit.act, reference, terms)
    home = f"/console/delegations/{resolved.delegation.id}"
    enabled = replace(resolved, delegation=replace(resolved.delegation, enabled=True))
    return Question(
        trail=[("Trust Delegation", "/console/delegations"), (title(resolved.role.name, resolved.client.name), home)],
        ids={"delegation": resolved.delegation.id},
        shown={
            "resolved": resolved,
            "grants_if_enabled": enabled.gap(visit.act.now) is None,
            "apis": apis.by_identifiers(tx, set(resolved.delegation.audiences)),
            "client_status": status_of(tx, resolved.client, visit.act.now),
            "what": impact.of_delegation(tx, visit.act, reference, terms),
            "terms": terms,
        },
    )


def _already(verb: str) -> Callable[[Tx, PageRequest], str]:
    """Return a function for `Confirmation.already`. A revoked delegation can neither be disabled nor enabled."""

    def look(tx: Tx, visit: PageRequest) -> str:
        its = delegations.get(tx, visit.act, visit.named("delegation"), visit.console.terms).delegation
        by, at = its.changed_by, its.changed_at
        if its.revoked_at:
            who = by if at == its.revoked_at else ""
            return already_is("The trust delegation was already revoked", its.revoked_at, who)
        if verb == "revoke" or its.enabled != (verb == "enable"):
            return ""
        return already_is(f"The trust delegation is already {verb}d")

    return look


_HOME = "/console/delegations/{delegation}"
_confirmation = partial(Confirmation, template="delegations/ending.html", look=_look)
CONFIRMATIONS = (
    _confirmation(
        path="/delegations/{delegation}/disable",
        already=_already("disable"),
        heading="Disable this trust delegation?",
        button="Disable",
        change=once(
            lambda tx, act, visit: delegations.disable(tx, act, visit.named("delegation"), visit.console.terms)
        ),
        after=redirect_to(_HOME, done="delegation_disabled"),
    ),
    _confirmation(
        path="/delegations/{delegation}/enable",
        already=_already("enable"),
        heading="Enable this trust delegation?",
        button="Enable",
        danger=False,
        repeats=False,
        change=once(lambda tx, act, visit: delegations.enable(tx, act, visit.named("delegation"), visit.console.terms)),
        after=redirect_to(_HOME, done="delegation_enabled"),
    ),
    _confirmation(
        path="/delegations/{delegation}/revoke",
        already=_already("revoke"),
        heading="Revoke this trust delegation permanently?",
        button="Revoke permanently",
        change=once(lambda tx, act, visit: delegations.revoke(tx, act, visit.named("delegation"), visit.console.terms)),
        after=redirect_to(_HOME, done="delegation_revoked"),
    ),
)
