"""Edit a trust delegation: first the form, then a review with the impact, then the change."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.clients.model import ProofKind
from authsec_server.console.delegations import choices
from authsec_server.console.delegations.draft import Draft, reworded, typed_draft
from authsec_server.console.forms import amount_and_unit, raise_all, shown_instant, units_offered
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import editing, impact
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import DESCRIBED, Delegation, ResolvedDelegation, TargetType
from authsec_server.failures import Failure, FailureList, Invalid, Outdated
from authsec_server.principal import Role
from authsec_server.revisions import plain, require_current


def routes(console: Console) -> list[BaseRoute]:
    """Return the edit route. Form and review share one path, because the typed values are only in the request body."""
    return [console.page("/delegations/{delegation}/edit", form, post=change, least=Role.OPERATOR)]


async def form(visit: PageRequest) -> Response:
    """Show the edit form with the stored values."""

    def look(tx: Tx) -> tuple[ResolvedDelegation, Draft]:
        resolved = _stored(tx, visit)
        draft = draft_of(resolved.delegation)
        editing.proposed_edit(  # raises if the delegation has ended or is revoked
            tx, visit.act, resolved.delegation.id, edit_of(draft, resolved.delegation), visit.console.terms
        )
        return resolved, draft

    _, draft = await visit.read(look)
    return await _form(visit, draft)


async def change(visit: PageRequest) -> Response:
    """Handle the form's buttons: select all actions or none, review the change, go back, or save."""
    typed = visit.form
    draft, revision, terms = typed_draft(typed), typed.number("revision"), visit.console.terms
    if typed.ticked("again") or typed.ticked("select"):
        return await _form(visit, draft)
    problems = FailureList()
    sound = draft.parsable(problems)

    def propose(tx: Tx) -> object:
        wanted = edit_of(sound, _stored(tx, visit).delegation)
        return editing.proposed_edit(tx, visit.act, visit.named("delegation"), wanted, terms)

    try:
        await raise_all(problems, lambda: visit.read(propose))
        if not typed.ticked("save") and (review := await _review(visit, draft, revision)):
            return review
        await visit.change(
            lambda tx, act: editing.edit(
                tx,
                act,
                visit.named("delegation"),
                edit_of(draft, _stored(tx, visit).delegation),
                terms,
                revision=revision,
            )
        )
    except (Invalid, Outdated) as failure:
        problem = reworded(failure, terms) if isinstance(failure, Invalid) else failure
        return await _form(visit, draft, problem)
    return visit.redirect(_home(visit), done="saved")


async def _review(visit: PageRequest, draft: Draft, revision: int) -> Response | None:
    """Show the changes and their impact. Return None if the stored row has all these values already.

    The edit is then recorded, as in `revisions.edit_detail`: the person may have seen other values.
    """

    def look(tx: Tx) -> dict[str, Any]:
        delegation, terms = _stored(tx, visit).delegation, visit.console.terms
        require_current(delegation, revision, "This delegation")
        wanted = edit_of(draft, delegation)
        after, rows = editing.proposed_edit(tx, visit.act, delegation.id, wanted, terms)
        return {"resolved": after, "rows": rows, "what": impact.of_edit(tx, visit.act, delegation.id, wanted, terms)}

    seen = await visit.read(look)
    if not seen["rows"]:
        return None
    sent = [(name, value) for name, value in visit.form.pairs() if name != "select"]
    return visit.render("delegations/changes.html", title="Review the changes", home=_home(visit), sent=sent, **seen)


async def _form(visit: PageRequest, draft: Draft, problem: Failure | None = None) -> Response:
    """Show the form as typed."""

    def look(tx: Tx) -> dict[str, Any]:
        resolved = _stored(tx, visit)
        delegation = resolved.delegation
        offered = choices.actions(tx, visit.act, resolved.role, resolved.client, besides=delegation.actions)
        pressed = visit.form.text("select")
        return {
            "resolved": resolved,
            "offered": offered,
            "ticked": {"all": offered.role.actions, "none": ()}.get(pressed, draft.actions),
            "audiences": choices.audiences(tx, visit.act, (*delegation.audiences, *draft.audiences), draft.actions),
            "revision": visit.revision_of(delegation, problem),
            "known": _known(tx, visit, draft, delegation) if isinstance(problem, Outdated) else {},
        }

    return visit.render(
        "delegations/edit.html",
        title="Edit trust delegation",
        problem=problem,
        draft=draft,
        home=_home(visit),
        terms=visit.console.terms,
        units=units_offered(draft.unit),
        proof_kinds=list(ProofKind),
        target_types=[(each, each) for each in TargetType],
        **await visit.read(look),
    )


def _known(tx: Tx, visit: PageRequest, draft: Draft, delegation: Delegation) -> dict[str, str]:
    """Return the stored value of each field that differs from the typed value.

    Return nothing if the form cannot be parsed.
    """
    try:
        _, rows = editing.proposed_edit(tx, visit.act, delegation.id, edit_of(draft, delegation), visit.console.terms)
    except Invalid:
        return {}
    return {row.field: row.before or "nothing" for row in rows}


def draft_of(delegation: Delegation) -> Draft:
    """Return the stored delegation as the form's values."""
    amount, unit = amount_and_unit(delegation.max_duration)
    return Draft(
        role=delegation.role_id,
        client=delegation.client_id,
        target_type=delegation.target_type,
        actions=delegation.actions,
        amount=amount,
        unit=unit,
        ends_at=shown_instant(delegation.ends_at),
        audiences=delegation.audiences,
        excluded_proofs=tuple(delegation.excluded_proofs),
        require_dpop=delegation.require_dpop,
        described=plain(DESCRIBED, delegation),
    )


def edit_of(draft: Draft, delegation: Delegation) -> dict[str, Any]:
    """Return the values for the edit. Raises `Invalid` for a value that cannot be parsed.

    The form shows the end of the delegation to the second. If nobody edits the end, it keeps its exact stored
    value.
    """
    values = draft.values()
    if draft.ends_at == shown_instant(delegation.ends_at):
        del values["ends_at"]
    return values


def _stored(tx: Tx, visit: PageRequest) -> ResolvedDelegation:
    return delegations.get(tx, visit.act, visit.named("delegation"), visit.console.terms)


def _home(visit: PageRequest) -> str:
    return f"/console/delegations/{visit.named('delegation')}"
