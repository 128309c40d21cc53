"""The page that creates a trust delegation: context, permissions, duration and review in one form.

All state is in the form. A script sends the form to `parts` after each change, and shows the parts that differ.
Without a script, buttons send the form to the page itself. The page creates a delegation only if the form has the
fingerprint of the shown review.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from authsec_server.clients import service as clients
from authsec_server.clients.model import Client, ClientKind, ProofKind
from authsec_server.console import guard
from authsec_server.console.client_status import status_of
from authsec_server.console.delegations import choices
from authsec_server.console.delegations.draft import NOT_YET, Draft, client_fault, fault, typed_draft
from authsec_server.console.delegations.edit_review import draft_of
from authsec_server.console.delegations.proposed import ProposedDelegation, fingerprint, proposed
from authsec_server.console.forms import Form, units_offered
from authsec_server.console.issuers.unavailable import outages
from authsec_server.console.roles import TypedRole, at_fields, described_actions, typed_role
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import DelegationState, TargetType, state
from authsec_server.failures import Conflict, Failure, Invalid
from authsec_server.principal import Act, Role
from authsec_server.roles import service as roles

NEW_ROLE = "role_"
"""The prefix of the field names of a new role."""
PARTS = ("client", "permissions", "apis", "review", "bar")
"""The parts of the page that depend on typed values. Each is a template, and has its name as `data-part`."""
SUGGESTIONS = 8  # clients in the list of the combobox
MOST_TEXT = 120


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the page, of its parts, and of the combobox."""
    operator = Role.OPERATOR
    return [
        console.page("/delegations/new", show, post=send, least=operator),
        console.page("/delegations/new/parts", post=parts, least=operator),
        console.page("/delegations/new/clients", suggestions, least=operator),
    ]


async def show(visit: PageRequest) -> Response:
    """Show the page with the values in its query. With `again`, show the values of an existing delegation."""

    def work(tx: Tx) -> Draft:
        if again := visit.query.text("again"):
            return _draft_again(tx, visit, again)
        draft = typed_draft(visit.query)
        client = clients.find(tx, draft.client)
        if client and not visit.query.ticked("target_type"):
            draft = replace(draft, target_type=_target_type(tx, client, visit.act.now) or draft.target_type)
        return draft

    return await _page(visit, await visit.read(work))


def _target_type(tx: Tx, client: Client, now: datetime) -> TargetType | None:
    """Return the target type of the client's newest live delegation.

    Without a live delegation, an MCP server has a type of its own, and other clients have none.
    """
    held = [each for each, _ in delegations.of_client(tx, client.id) if state(each, now) is DelegationState.LIVE]
    if held:
        return max(held, key=lambda each: (each.created_at, each.id)).target_type
    return TargetType.MCP_SERVER if client.kind is ClientKind.MCP_SERVER else None


def _draft_again(tx: Tx, visit: PageRequest, reference: str) -> Draft:
    """Return the values of an existing delegation, without an end date that is in the past."""
    its = delegations.get(tx, visit.act, reference, visit.console.terms).delegation
    draft, over = draft_of(its), its.ends_at is not None and its.ends_at <= visit.act.now
    return replace(draft, apis_are_own=True, ends_at="" if over else draft.ends_at)


async def send(visit: PageRequest) -> Response:
    """Handle the buttons of the page. The button without a name creates the delegation."""
    form, draft, typed = visit.form, typed_draft(visit.form), typed_role(visit.form, NEW_ROLE)
    if form.ticked("make_role"):
        return await _with_new_role(visit, draft, typed)
    if form.ticked("find") or form.ticked("update") or form.ticked("select"):
        return await _page(visit, draft)
    if typed.begun:
        problem = None if form.ticked("show") else await visit.read(lambda tx: client_fault(tx, draft))
        if draft.role:
            message = "You chose a role and also typed a new one below."
            remedy = "Deselect the role to use the new one, or clear the fields of the new one."
            problem = Invalid("role", message, remedy)
        return await _page(visit, draft, problem) if problem else await _with_new_role(visit, draft, typed)
    return await _page(visit, draft) if form.ticked("show") else await _create(visit, draft)


async def _create(visit: PageRequest, typed: Draft) -> Response:
    """Create the delegation. Show the page again if it has a problem, or if the person has not seen its review.

    The server refuses a delegation that is identical to a live one.
    """
    terms = visit.console.terms

    def work(tx: Tx, act: Act) -> str:
        draft = choices.chosen(tx, typed)
        if problem := fault(tx, act, draft, terms):
            raise problem
        proposal = draft.proposal()
        resolved = delegations.propose(tx, act, proposal, terms, delegation_id=NOT_YET)
        if visit.form.text("reviewed") != fingerprint(resolved):
            return ""
        made = delegations.create(tx, act, proposal, terms)
        return f"/console/delegations?new={made.delegation.id}&done=delegation_created"

    try:
        made = await visit.change(work)
    except (Invalid, Conflict) as problem:  # after a conflict, the person went back, or pressed the button twice
        return await _page(visit, typed, problem, to_review=isinstance(problem, Conflict))
    return visit.redirect(made) if made else await _page(visit, typed, to_review=True)


async def _with_new_role(visit: PageRequest, draft: Draft, typed: TypedRole) -> Response:
    """Create the role, and show the page with this role.

    Actions of another role are cleared. Actions that an address requests without a role are kept.
    """
    try:
        role = await visit.change(lambda tx, act: roles.create(tx, act, **typed.changes))
    except (Invalid, Conflict) as failure:
        return await _page(visit, draft, at_fields(typed, failure, NEW_ROLE))
    asked = draft.actions if not draft.role else ()
    kept = tuple(action for action in asked if action in role.actions)
    return visit.redirect(replace(draft, role=role.slug, actions=kept, whole=False).address(done="role_created"))


async def parts(visit: PageRequest) -> Response:
    """Return the parts of the page for the sent form, as JSON for the page's script."""
    seen = await _look(visit, typed_draft(visit.form))
    found = {name: visit.part(f"delegations/new/{name}.html", to_review=False, **seen) for name in PARTS}
    return JSONResponse(found, headers=dict(guard.HEADERS))


async def suggestions(visit: PageRequest) -> Response:
    """Return the options of the combobox for a typed text, as JSON for the page's script."""
    text, silent = visit.query.text("q")[:MOST_TEXT], await outages(visit)
    found = await visit.read(lambda tx: choices.clients_offered(tx, visit.act, "", text, silent, most=SUGGESTIONS))
    options = visit.part("delegations/new/suggestions.html", found=found)
    return JSONResponse({"options": options, "more": found.more}, headers=dict(guard.HEADERS))


async def _page(
    visit: PageRequest, draft: Draft, problem: Failure | None = None, *, to_review: bool = False
) -> Response:
    """Show the page. With `to_review`, the review comes first."""
    seen = await _look(visit, draft)
    typed, new_role = visit.sent, typed_role(visit.sent, NEW_ROLE)

    def look(tx: Tx) -> dict[str, Any]:
        return {
            "offered_roles": choices.roles_offered(tx, visit.act, draft.role, typed.text("role_text")),
            "offered_clients": choices.clients_offered(
                tx, visit.act, draft.client, typed.text("client_text"), seen["silent"]
            ),
            "described": described_actions(tx, visit.act),
        }

    return visit.render(
        "delegations/new/page.html",
        title="Create trust delegation",
        problem=problem,
        to_review=to_review,
        target_types=[(each, each) for each in TargetType],
        role_text=typed.text("role_text"),
        client_text=typed.text("client_text"),
        new_role=new_role,
        units=units_offered(draft.unit),
        proof_kinds=list(ProofKind),
        **await visit.read(look),
        **seen,
    )


async def _look(visit: PageRequest, typed: Draft) -> dict[str, Any]:
    """Load what the parts show."""
    silent = await outages(visit)
    return await visit.read(lambda tx: _seen(tx, visit, typed, silent))


def _seen(tx: Tx, visit: PageRequest, typed: Draft, silent: Mapping[str, str]) -> dict[str, Any]:
    role, client = roles.find(tx, typed.role), clients.find(tx, typed.client)
    draft = _selected(visit.sent, choices.chosen(tx, typed), role.actions if role else ())
    offered = choices.actions(tx, visit.act, role, client) if role else None
    suggested: tuple[str, ...] = ()
    if offered and not draft.apis_are_own:
        suggested = choices.suggested_api(tx, visit.act, offered, draft.actions)
    if not draft.apis_are_own:
        draft = replace(draft, audiences=suggested)
    found = proposed(tx, visit, draft, silent)
    return {
        "draft": draft,
        "role": role,
        "client": client,
        "client_status": status_of(tx, client, visit.act.now, silent) if client else None,
        "offered": offered,
        "suggested": suggested,
        "audiences": choices.audiences(tx, visit.act, draft.audiences, draft.actions),
        "proposed": found if isinstance(found, ProposedDelegation) else None,
        "missing": found if isinstance(found, Failure) else None,
        "terms": visit.console.terms,
        "silent": silent,
    }


def _selected(form: Form, draft: Draft, actions: tuple[str, ...]) -> Draft:
    """Return the draft after the buttons "Select All" and "Select None", which work without a script."""
    pressed = form.text("select")
    return replace(draft, actions=actions if pressed == "all" else (), whole=pressed == "all") if pressed else draft
