"""How a step of creating a trust delegation is shown; where what comes before it is wrong, the step that mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from authsec_server.console.delegations import offers
from authsec_server.console.delegations.draft import CONTEXT, STEPS, Draft, Step, typed_draft
from authsec_server.console.delegations.faults import fault
from authsec_server.console.roles.typed import typed_role
from authsec_server.console.site import Visit
from authsec_server.db import Tx
from authsec_server.delegations.model import TargetType
from authsec_server.failures import Failure, Invalid

NEW_ROLE = "role_"
"""With what the names of the new role's fields begin."""
Look = Callable[[Tx, Draft], dict[str, Any]]


async def show(visit: Visit, step: Step, look: Look) -> Response:
    """The step with what its address says."""

    def work(tx: Tx) -> tuple[str, Draft, Invalid | None, dict[str, Any]]:
        draft = offers.chosen(tx, typed_draft(visit.query))
        found = fault(tx, visit.act, draft, visit.console.terms)
        if found and found.step.number < step.number:
            return draft.at(found.step, check="1", **typed_besides(visit)), draft, None, {}
        told = found and found.step is step and visit.query.ticked("check")
        return "", draft, found.problem if found and told else None, look(tx, draft)

    elsewhere, draft, problem, seen = await visit.read(work)
    return visit.redirect(elsewhere) if elsewhere else shown(visit, step, draft, problem, seen)


def shown(visit: Visit, step: Step, draft: Draft, problem: Failure | None, seen: dict[str, Any]) -> Response:
    """The page of the step."""
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


async def show_context(visit: Visit, draft: Draft, problem: Failure | None) -> Response:
    """The first step once more, with all that was typed there."""
    look = looking_at_context(visit)
    return shown(visit, CONTEXT, draft, problem, await visit.read(lambda tx: look(tx, draft)))


def looking_at_context(visit: Visit) -> Look:
    """What the first step shows: what was chosen and looked for, and the new role as far as it was typed."""
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


def typed_besides(visit: Visit) -> dict[str, str]:
    """What the first step looked for, to be kept in an address."""
    typed = visit.form if visit.request.method == "POST" else visit.query
    return {name: typed.text(name) for name in ("role_text", "client_text")}
