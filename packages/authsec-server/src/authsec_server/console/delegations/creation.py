"""The four steps that create a trust delegation: define context, assign permissions, set duration, review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.clients.model import ProofKind
from authsec_server.console.client_status import status_of
from authsec_server.console.delegations import steps
from authsec_server.console.delegations.draft import (
    ACTIONS,
    CONTEXT,
    DURATION,
    NOT_YET,
    REVIEW,
    STEPS,
    Draft,
    DraftStep,
    client_fault,
    fault,
    typed_draft,
)
from authsec_server.console.delegations.pages import foreseen_draft
from authsec_server.console.delegations.steps import (
    NEW_ROLE,
    looking_at_context,
    show,
    show_context,
    shown,
    typed_besides,
)
from authsec_server.console.forms import Form, units_offered
from authsec_server.console.issuers.unavailable import outages
from authsec_server.console.roles import TypedRole, at_fields, typed_role
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.failures import Conflict, Invalid
from authsec_server.principal import Act, Role
from authsec_server.roles import service as roles


async def leave_context(visit: PageRequest) -> Response:
    """Handle the buttons of the first step: continue, search again, or create the typed role and use it.

    If a person types a new role and continues, the role is created, too.
    """
    typed = typed_role(visit.form, NEW_ROLE)
    draft = await visit.read(lambda tx: steps.chosen_in_role(tx, typed_draft(visit.form)))
    to = _asked_for(visit.form, CONTEXT)
    if visit.form.ticked("make_role"):
        return await _with_new_role(visit, draft, typed, CONTEXT)
    if to is CONTEXT:
        again = visit.redirect(draft.at(CONTEXT, **typed_besides(visit)))
        return await show_context(visit, draft, None) if typed.begun else again
    problem = await visit.read(lambda tx: _stays(tx, visit, draft, typed))
    if problem:
        return await show_context(visit, draft, problem)
    return await _with_new_role(visit, draft, typed, to) if typed.begun else visit.redirect(draft.at(to))


async def leave_actions(visit: PageRequest) -> Response:
    """Handle the buttons of the second step: continue, select all actions, or select no action.

    The buttons work without a script.
    """

    def work(tx: Tx) -> Draft:
        draft, pressed = typed_draft(visit.form), visit.form.text("select")
        role = roles.find(tx, draft.role)
        if role and pressed:
            draft = replace(draft, actions=role.actions if pressed == "all" else ())
        return steps.chosen(tx, draft)

    to = ACTIONS if visit.form.ticked("select") else _asked_for(visit.form, ACTIONS)
    return visit.redirect((await visit.read(work)).at(to))


async def leave_duration(visit: PageRequest) -> Response:
    """Handle the button of the third step, and show the next step."""
    draft = await visit.read(lambda tx: steps.chosen(tx, typed_draft(visit.form)))
    return visit.redirect(draft.at(_asked_for(visit.form, DURATION)))


def _asked_for(form: Form, step: DraftStep) -> DraftStep:
    """Return the step that the pressed button names. If it names no step, return the next step."""
    return next((each for each in STEPS if each.key == form.text("to")), STEPS[step.number])


def _stays(tx: Tx, visit: PageRequest, draft: Draft, typed: TypedRole) -> Invalid | None:
    """Return the problem that prevents leaving the first step, or None.

    A typed role is not checked here, but when it is created.
    """
    if not typed.begun:
        found = fault(tx, visit.act, draft, visit.console.terms)
        return found.problem if found and found.step is CONTEXT else None
    if draft.role:
        message = "You chose a role and also typed a new one below."
        return Invalid("role", message, "Deselect the role to use the new one, or clear the fields of the new one.")
    return client_fault(tx, draft)


async def _with_new_role(visit: PageRequest, draft: Draft, typed: TypedRole, to: DraftStep) -> Response:
    """Create the role, and show the step `to` with this role.

    The chosen actions are cleared, because they belong to another role. The other chosen values do not change.
    """
    try:
        role = await visit.change(lambda tx, act: roles.create(tx, act, **typed.changes))
    except (Invalid, Conflict) as failure:
        problem = at_fields(typed, failure, NEW_ROLE)
        if problem.field == f"{NEW_ROLE}slug":  # made from the name; this form has no field for the slug
            problem = Invalid(f"{NEW_ROLE}name", problem.message, "Choose another name.")
        return await show_context(visit, draft, problem)
    return visit.redirect(replace(draft, role=role.slug, actions=(), whole=False).at(to), done="role_created")


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the four steps."""
    return [
        console.page(CONTEXT.path, context, post=leave_context, least=Role.OPERATOR),
        console.page(ACTIONS.path, actions, post=leave_actions, least=Role.OPERATOR),
        console.page(DURATION.path, duration, post=leave_duration, least=Role.OPERATOR),
        console.page(REVIEW.path, review, post=create, least=Role.OPERATOR),
    ]


async def context(visit: PageRequest) -> Response:
    """Show the first step: role, target type and client."""
    return await show(visit, CONTEXT, looking_at_context(visit))


async def actions(visit: PageRequest) -> Response:
    """Show the second step: the role's actions."""

    def look(tx: Tx, draft: Draft) -> dict[str, Any]:
        return {"offered": steps.actions(tx, visit.act, draft.role, draft.client), "ticked": draft.actions}

    return await show(visit, ACTIONS, look)


async def duration(visit: PageRequest) -> Response:
    """Show the third step: token lifetime, end of the delegation and audiences."""

    def look(tx: Tx, draft: Draft) -> dict[str, Any]:
        return {
            "audiences": steps.audiences(tx, visit.act, draft.audiences, draft.actions),
            "units": units_offered(draft.unit),
            "proof_kinds": list(ProofKind),
        }

    return await show(visit, DURATION, look)


async def review(visit: PageRequest) -> Response:
    """Show the fourth step: the delegation before it is created, and the claims of its tokens."""
    silent = await outages(visit)
    return await show(visit, REVIEW, lambda tx, draft: _reviewed(tx, visit, draft, silent))


async def create(visit: PageRequest) -> Response:
    """Create the delegation, or return to the step that has a problem.

    The server refuses a delegation that is identical to a live one.
    """
    draft, terms = typed_draft(visit.form), visit.console.terms

    def work(tx: Tx, act: Act) -> str:
        if found := fault(tx, act, draft, terms):
            return steps.chosen(tx, draft).at(found.step, check="1")
        made = delegations.create(tx, act, draft.proposal(), terms)
        return f"/console/delegations?new={made.delegation.id}&done=delegation_created"

    try:
        return visit.redirect(await visit.change(work))
    except Conflict as conflict:  # the person went back, or pressed the button twice
        silent = await outages(visit)
        return shown(visit, REVIEW, draft, conflict, await visit.read(lambda tx: _reviewed(tx, visit, draft, silent)))


def _reviewed(tx: Tx, visit: PageRequest, draft: Draft, silent: Mapping[str, str]) -> dict[str, Any]:
    resolved = delegations.propose(tx, visit.act, draft.proposal(), visit.console.terms, delegation_id=NOT_YET)
    return {
        "resolved": resolved,
        "client_status": status_of(tx, resolved.client, visit.act.now, silent),
        "held": steps.held_already(tx, visit.act, resolved.delegation),
        "foreseen": foreseen_draft(tx, visit, resolved),
    }
