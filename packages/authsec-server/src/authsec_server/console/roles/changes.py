"""Create, edit and delete a role.

Before actions change, a page shows which clients lose and gain permissions.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.edit_form import revision_of, saved, stored_meanwhile
from authsec_server.console.roles.typed import TypedRole, at_fields, described_actions, stored_role, typed_role
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact, service
from authsec_server.delegations import search as delegations
from authsec_server.delegations.model import DelegationFilters, DelegationState
from authsec_server.failures import Conflict, Failure, Invalid, Outdated
from authsec_server.principal import Act, Role
from authsec_server.revisions import require_current
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition, parse_actions

IN_USE = (DelegationState.LIVE, DelegationState.DISABLED)
SHOWN = 20  # of each state


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes that create, edit and delete a role."""
    return [
        console.page("/roles/new", form, post=create, least=Role.OPERATOR),
        console.page("/roles/{role}/edit", edit_form, post=edit, least=Role.OPERATOR),
        DELETE.route(console),
    ]


async def form(visit: PageRequest, typed: TypedRole | None = None, problem: Failure | None = None) -> Response:
    """Show the form that creates a role, with the typed values if there are any."""
    typed = typed or TypedRole()
    offered = await visit.read(lambda tx: described_actions(tx, visit.act))
    return visit.render("roles/new.html", title="New role", problem=problem, typed=typed, offered=offered)


async def create(visit: PageRequest) -> Response:
    """Create the role."""
    typed = typed_role(visit.form)

    def work(tx: Tx, act: Act) -> RoleDefinition:
        return roles.create(tx, act, slug=typed.texts["slug"] or None, **typed.changes)

    try:
        role = await visit.change(work)
    except (Invalid, Conflict) as failure:
        return await form(visit, typed, at_fields(typed, failure))
    return visit.redirect(f"/console/roles/{role.slug}", done="role_created")


async def edit_form(visit: PageRequest, typed: TypedRole | None = None, problem: Failure | None = None) -> Response:
    """Show the edit form with the typed values. If nothing was typed, show the stored values."""
    role, offered = await visit.read(lambda tx: (_stored(tx, visit), described_actions(tx, visit.act)))
    stored = stored_role(role, offered)
    typed = typed or stored
    return visit.render(
        "roles/edit.html",
        title=f"Edit {role.name}",
        problem=problem,
        role=role,
        typed=typed,
        offered=offered,
        known=stored_meanwhile(problem, stored.readable, typed.readable),
        revision=revision_of(visit, role, problem),
    )


async def edit(visit: PageRequest) -> Response:
    """Handle the form's buttons: review the change, go back, or save."""
    typed, revision = typed_role(visit.form), visit.form.number("revision")
    if visit.form.ticked("again"):
        return await edit_form(visit, typed)
    try:
        if not visit.form.ticked("save") and (review := await _review(visit, typed, revision)):
            return review
        role = await visit.change(
            lambda tx, act: roles.edit(tx, act, visit.named("role"), revision=revision, changes=typed.changes)
        )
    except Invalid as failure:
        return await edit_form(visit, typed, at_fields(typed, failure))
    except Outdated as failure:
        return await edit_form(visit, typed, failure)
    return saved(visit, f"/console/roles/{role.slug}", role, revision)


async def _review(visit: PageRequest, typed: TypedRole, revision: int) -> Response | None:
    """Show the change and its impact. Return None if no action changes.

    Without a change of actions, no client loses or gains a permission.
    """

    def look(tx: Tx) -> dict[str, Any]:
        role = _stored(tx, visit)
        require_current(role, revision, "This role")
        after = parse_actions(typed.actions)
        return {
            "role": role,
            "removed": [action for action in role.actions if action not in after],
            "added": [action for action in after if action not in role.actions],
            "what": impact.of_role_edit(tx, visit.act, role.id, after, visit.console.terms),
        }

    seen = await visit.read(look)
    if not seen["removed"] and not seen["added"]:
        return None
    return visit.render("roles/changes.html", title="Review the changes", sent=visit.form.pairs(), typed=typed, **seen)


def _stored(tx: Tx, visit: PageRequest) -> RoleDefinition:
    return roles.get(tx, visit.act, visit.named("role"))


def _look(tx: Tx, visit: PageRequest) -> Question:
    """Return the confirmation question: what is deleted with the role, or which delegations prevent the deletion."""
    role = _stored(tx, visit)
    filters = [DelegationFilters(role_id=role.id, state=state) for state in IN_USE]
    pages = [delegations.page(tx, visit.act, visit.console.terms, each, limit=SHOWN)[0] for each in filters]
    in_use = [resolved for page in pages for resolved in page]
    return Question(
        trail=[("Roles & Actions", "/console/roles"), (role.name, f"/console/roles/{role.slug}")],
        ids={"role": role.id},
        possible=not in_use,
        shown={"role": role, "in_use": in_use, "uses": delegations.using(tx, [role.id], visit.act.now)[role.id]},
    )


DELETE = Confirmation(
    path="/roles/{role}/delete",
    template="roles/delete.html",
    heading="Delete this role?",
    button="Delete role",
    look=_look,
    change=once(lambda tx, act, visit: service.delete_role(tx, act, visit.named("role"))),
    after=redirect_to("/console/roles", done="role_deleted"),
)
