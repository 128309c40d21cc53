"""Create trust delegation: define context, assign permissions, set duration, review."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.clients.model import ProofKind
from authsec_server.console.delegations import offers
from authsec_server.console.delegations.draft import (
    ACTIONS,
    CONTEXT,
    DURATION,
    REVIEW,
    STEPS,
    Draft,
    Step,
    typed_draft,
)
from authsec_server.console.delegations.faults import NOT_YET, fault
from authsec_server.console.delegations.foreseen import foreseen
from authsec_server.console.delegations.typed import units_offered
from authsec_server.console.roles.typed import at_fields, typed_role
from authsec_server.console.site import Console, Visit
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import TargetType
from authsec_server.failures import Conflict, Failure, Invalid
from authsec_server.principal import Act, Role
from authsec_server.roles import service as roles

NEW_ROLE = "role_"
"""With what the names of the new role's fields begin."""
Look = Callable[[Tx, Draft], dict[str, Any]]


def routes(console: Console) -> list[BaseRoute]:
    """The four steps."""
    return [
        console.page(CONTEXT.path, context, post=new_role, least=Role.OPERATOR),
        console.page(ACTIONS.path, actions, least=Role.OPERATOR),
        console.page(DURATION.path, duration, least=Role.OPERATOR),
        console.page(REVIEW.path, review, post=create, least=Role.OPERATOR),
    ]


async def context(visit: Visit) -> Response:
    """Which role, for which kind of program, for which client."""
    return await _step(visit, CONTEXT, _context(visit))


async def actions(visit: Visit) -> Response:
    """Which of the role's actions."""

    def look(tx: Tx, draft: Draft) -> dict[str, Any]:
        offered = offers.actions(tx, visit.act, draft.role, draft.client)
        pressed = visit.query.text("select")  # the buttons that need no script
        ticked = {"all": offered.role.actions, "none": ()}.get(pressed, draft.actions)
        return {"offered": offered, "ticked": ticked}

    return await _step(visit, ACTIONS, look)


async def duration(visit: Visit) -> Response:
    """How long a token may live, when the delegation ends, and for which APIs its tokens are."""

    def look(tx: Tx, draft: Draft) -> dict[str, Any]:
        return {
            "audiences": offers.audiences(tx, visit.act, draft.audiences, draft.actions),
            "units": units_offered(draft.unit),
            "proof_kinds": list(ProofKind),
        }

    return await _step(visit, DURATION, look)


async def review(visit: Visit) -> Response:
    """What it comes to, before it is made: the very claims that its tokens would carry."""

    def look(tx: Tx, draft: Draft) -> dict[str, Any]:
        standing = delegations.propose(tx, visit.act, draft.proposal(), visit.console.terms, delegation_id=NOT_YET)
        return {"standing": standing, "foreseen": foreseen(tx, visit, standing)}

    return await _step(visit, REVIEW, look)


async def create(visit: Visit) -> Response:
    """Delegate; or go back to the step at which something is wrong by now."""
    draft, terms = typed_draft(visit.form), visit.console.terms

    def work(tx: Tx, act: Act) -> str:
        if found := fault(tx, act, draft, terms):
            return draft.at(found.step, checked=True)
        made = delegations.create(tx, act, draft.proposal(), terms)
        return f"/console/delegations?new={made.delegation.id}&done=delegation_created"

    return visit.redirect(await visit.change(work))


async def new_role(visit: Visit) -> Response:
    """Make a role in place and go on with it; what was chosen besides stays chosen."""
    draft, typed = typed_draft(visit.form), typed_role(visit.form, NEW_ROLE)
    try:
        role = await visit.change(lambda tx, act: roles.create(tx, act, name=typed.name, actions=typed.actions))
    except (Invalid, Conflict) as failure:
        problem = at_fields(typed, failure, NEW_ROLE)
        if problem.field == f"{NEW_ROLE}slug":  # the one that the name makes: here it has no field of its own
            problem = Invalid(f"{NEW_ROLE}name", problem.message, "Give it another name.")
        look = _context(visit)
        seen = await visit.read(lambda tx: look(tx, draft))
        return _shown(visit, CONTEXT, draft, problem, seen)
    return visit.redirect(replace(draft, role=role.slug, actions=()).at(CONTEXT), done="role_created")


def _context(visit: Visit) -> Look:
    typed = visit.form if visit.request.method == "POST" else visit.query

    def look(tx: Tx, draft: Draft) -> dict[str, Any]:
        role_text, client_text = typed.text("role_text"), typed.text("client_text")
        return {
            "offered": offers.context(tx, visit.act, draft.role, role_text, draft.client, client_text),
            "target_types": [(each, each) for each in TargetType],
            "role_text": role_text,
            "client_text": client_text,
            "new_role": typed_role(typed, NEW_ROLE),
        }

    return look


async def _step(visit: Visit, step: Step, look: Look) -> Response:
    """The page of the step; or, where what comes before it is missing or wrong, the step that mends it."""
    draft = typed_draft(visit.query)

    def work(tx: Tx) -> tuple[str, Invalid | None, dict[str, Any]]:
        found = fault(tx, visit.act, draft, visit.console.terms)
        if found and found.step.number < step.number:
            return draft.at(found.step, checked=True), None, {}
        told = found and found.step is step and visit.query.ticked("check")
        return "", found.problem if found and told else None, look(tx, draft)

    elsewhere, problem, seen = await visit.read(work)
    return visit.redirect(elsewhere) if elsewhere else _shown(visit, step, draft, problem, seen)


def _shown(visit: Visit, step: Step, draft: Draft, problem: Failure | None, seen: dict[str, Any]) -> Response:
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
