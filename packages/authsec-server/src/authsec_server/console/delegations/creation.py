"""Create trust delegation: define context, assign permissions, set duration, review."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.clients.model import ProofKind
from authsec_server.console.delegations import offers
from authsec_server.console.delegations.draft import ACTIONS, CONTEXT, DURATION, REVIEW, Draft, typed_draft
from authsec_server.console.delegations.faults import NOT_YET, fault
from authsec_server.console.delegations.foreseen import foreseen_draft
from authsec_server.console.delegations.leaving import leave_actions, leave_context, leave_duration
from authsec_server.console.delegations.showing import looking_at_context, show, shown
from authsec_server.console.delegations.typed import units_offered
from authsec_server.console.site import Console, Visit
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.failures import Conflict
from authsec_server.principal import Act, Role


def routes(console: Console) -> list[BaseRoute]:
    """The four steps."""
    return [
        console.page(CONTEXT.path, context, post=leave_context, least=Role.OPERATOR),
        console.page(ACTIONS.path, actions, post=leave_actions, least=Role.OPERATOR),
        console.page(DURATION.path, duration, post=leave_duration, least=Role.OPERATOR),
        console.page(REVIEW.path, review, post=create, least=Role.OPERATOR),
    ]


async def context(visit: Visit) -> Response:
    """Which role, for which kind of program, for which client."""
    return await show(visit, CONTEXT, looking_at_context(visit))


async def actions(visit: Visit) -> Response:
    """Which of the role's actions."""

    def look(tx: Tx, draft: Draft) -> dict[str, Any]:
        return {"offered": offers.actions(tx, visit.act, draft.role, draft.client), "ticked": draft.actions}

    return await show(visit, ACTIONS, look)


async def duration(visit: Visit) -> Response:
    """How long a token may live, when the delegation ends, and for which APIs its tokens are."""

    def look(tx: Tx, draft: Draft) -> dict[str, Any]:
        return {
            "audiences": offers.audiences(tx, visit.act, draft.audiences, draft.actions),
            "units": units_offered(draft.unit),
            "proof_kinds": list(ProofKind),
        }

    return await show(visit, DURATION, look)


async def review(visit: Visit) -> Response:
    """What it comes to, before it is made: the very claims that its tokens would carry."""
    return await show(visit, REVIEW, lambda tx, draft: _reviewed(tx, visit, draft))


async def create(visit: Visit) -> Response:
    """Delegate; or go back to the step at which something is wrong by now. The same is not delegated twice."""
    draft, terms = typed_draft(visit.form), visit.console.terms

    def work(tx: Tx, act: Act) -> str:
        if found := fault(tx, act, draft, terms):
            return offers.chosen(tx, draft).at(found.step, check="1")
        made = delegations.create(tx, act, draft.proposal(), terms)
        return f"/console/delegations?new={made.delegation.id}&done=delegation_created"

    try:
        return visit.redirect(await visit.change(work))
    except Conflict as conflict:  # by Back, or by a second press of the button
        return shown(visit, REVIEW, draft, conflict, await visit.read(lambda tx: _reviewed(tx, visit, draft)))


def _reviewed(tx: Tx, visit: Visit, draft: Draft) -> dict[str, Any]:
    standing = delegations.propose(tx, visit.act, draft.proposal(), visit.console.terms, delegation_id=NOT_YET)
    return {
        "standing": standing,
        "held": offers.held_already(tx, visit.act, standing.delegation),
        "foreseen": foreseen_draft(tx, visit, standing),
    }
