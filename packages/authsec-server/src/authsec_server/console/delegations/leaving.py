"""Leaving a step of creating a trust delegation, by whichever button: nothing that was typed is lost."""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response

from authsec_server.console.delegations import offers
from authsec_server.console.delegations.draft import ACTIONS, CONTEXT, DURATION, STEPS, Draft, Step, typed_draft
from authsec_server.console.delegations.faults import client_fault, fault
from authsec_server.console.delegations.showing import NEW_ROLE, show_context, typed_besides
from authsec_server.console.forms import Form
from authsec_server.console.roles.typed import TypedRole, at_fields, typed_role
from authsec_server.console.site import Visit
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Invalid
from authsec_server.roles import service as roles


async def leave_context(visit: Visit) -> Response:
    """Go on, look again, or make the new role and use it. Whoever goes on with a new role typed means it, too."""
    typed = typed_role(visit.form, NEW_ROLE)
    draft = await visit.read(lambda tx: offers.chosen_in_role(tx, typed_draft(visit.form)))
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


async def leave_actions(visit: Visit) -> Response:
    """Go on or back; or tick all or none, which needs no script."""

    def work(tx: Tx) -> Draft:
        draft, pressed = typed_draft(visit.form), visit.form.text("select")
        role = roles.find(tx, draft.role)
        if role and pressed:
            draft = replace(draft, actions=role.actions if pressed == "all" else ())
        return offers.chosen(tx, draft)

    to = ACTIONS if visit.form.ticked("select") else _asked_for(visit.form, ACTIONS)
    return visit.redirect((await visit.read(work)).at(to))


async def leave_duration(visit: Visit) -> Response:
    """Go on or back."""
    draft = await visit.read(lambda tx: offers.chosen(tx, typed_draft(visit.form)))
    return visit.redirect(draft.at(_asked_for(visit.form, DURATION)))


def _asked_for(form: Form, step: Step) -> Step:
    """The step that the pressed button names; without one, the next."""
    return next((each for each in STEPS if each.key == form.text("to")), STEPS[step.number])


def _stays(tx: Tx, visit: Visit, draft: Draft, typed: TypedRole) -> Invalid | None:
    """Why one cannot go on from the first step; whether the new role can be made shows when it is."""
    if not typed.begun:
        found = fault(tx, visit.act, draft, visit.console.terms)
        return found.problem if found and found.step is CONTEXT else None
    if draft.role:
        message = "A role is chosen, and a new one is typed below."
        return Invalid("role", message, "Take the choice back to use the new one, or empty the new one's fields.")
    return client_fault(tx, draft)


async def _with_new_role(visit: Visit, draft: Draft, typed: TypedRole, to: Step) -> Response:
    """Make the role, and be at that step with it; what was chosen besides stays chosen."""
    try:
        role = await visit.change(lambda tx, act: roles.create(tx, act, name=typed.name, actions=typed.actions))
    except (Invalid, Conflict) as failure:
        problem = at_fields(typed, failure, NEW_ROLE)
        if problem.field == f"{NEW_ROLE}slug":  # the one that the name makes: here it has no field of its own
            problem = Invalid(f"{NEW_ROLE}name", problem.message, "Give it another name.")
        return await show_context(visit, draft, problem)
    return visit.redirect(replace(draft, role=role.slug, actions=(), whole=False).at(to), done="role_created")
