"""Create and edit a role. A change of actions first shows which clients lose and gain permissions."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.console.roles.typed import TypedRole, at_fields, described_actions, stored_role, typed_role
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import consequences
from authsec_server.failures import Conflict, Failure, Invalid, Outdated
from authsec_server.principal import Act, Role
from authsec_server.revisions import require_current
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition, parse_actions


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes that create and edit a role."""
    return [
        console.page("/roles/new", new, post=create, least=Role.OPERATOR),
        console.page("/roles/{role}/edit", edit, post=change, least=Role.OPERATOR),
    ]


async def new(visit: PageRequest) -> Response:
    """Show the empty form."""
    return await _new(visit, TypedRole())


async def create(visit: PageRequest) -> Response:
    """Create the role."""
    typed = typed_role(visit.form)

    def work(tx: Tx, act: Act) -> RoleDefinition:
        return roles.create(tx, act, slug=typed.texts["slug"] or None, **typed.changes)

    try:
        role = await visit.change(work)
    except (Invalid, Conflict) as failure:
        return await _new(visit, typed, at_fields(typed, failure))
    return visit.redirect(f"/console/roles/{role.slug}", done="role_created")


async def edit(visit: PageRequest) -> Response:
    """Show the edit form with the stored values."""

    def look(tx: Tx) -> TypedRole:
        return stored_role(_stored(tx, visit), described_actions(tx, visit.act))

    return await _edit(visit, await visit.read(look))


async def change(visit: PageRequest) -> Response:
    """Handle the form's buttons: review the change, go back, or save."""
    typed, revision = typed_role(visit.form), visit.form.number("revision")
    if visit.form.ticked("again"):
        return await _edit(visit, typed)
    try:
        if not visit.form.ticked("save") and (review := await _review(visit, typed, revision)):
            return review
        role = await visit.change(
            lambda tx, act: roles.edit(
                tx, act, visit.request.path_params["role"], revision=revision, changes=typed.changes
            )
        )
    except Invalid as failure:
        return await _edit(visit, typed, at_fields(typed, failure))
    except Outdated as failure:
        return await _edit(visit, typed, failure)
    return visit.redirect(f"/console/roles/{role.slug}", done="saved" if role.revision > revision else "unchanged")


async def _review(visit: PageRequest, typed: TypedRole, revision: int) -> Response | None:
    """Show the change and its impact. None if no action changes, because then nobody loses or gains a permission."""

    def look(tx: Tx) -> dict[str, Any]:
        role = _stored(tx, visit)
        require_current(role, revision, "This role")
        after = parse_actions(typed.actions)
        return {
            "role": role,
            "removed": [action for action in role.actions if action not in after],
            "added": [action for action in after if action not in role.actions],
            "what": consequences.of_role_edit(tx, visit.act, role.id, after, visit.console.terms),
        }

    seen = await visit.read(look)
    if not seen["removed"] and not seen["added"]:
        return None
    return visit.render("roles/changes.html", title="Review the changes", sent=visit.form.pairs(), typed=typed, **seen)


async def _new(visit: PageRequest, typed: TypedRole, problem: Failure | None = None) -> Response:
    offered = await visit.read(lambda tx: described_actions(tx, visit.act))
    return visit.render("roles/new.html", title="New role", problem=problem, typed=typed, offered=offered)


async def _edit(visit: PageRequest, typed: TypedRole, problem: Failure | None = None) -> Response:
    """Show the form as typed, with the current revision. A person who saw another's change can then overwrite it."""
    role, offered = await visit.read(lambda tx: (_stored(tx, visit), described_actions(tx, visit.act)))
    known = {}
    if isinstance(problem, Outdated):
        now, mine = stored_role(role, offered).readable, typed.readable
        known = {field: value for field, value in now.items() if value != mine[field]}
    return visit.render(
        "roles/edit.html",
        title=f"Edit {role.name}",
        problem=problem,
        role=role,
        typed=typed,
        offered=offered,
        known=known,
    )


def _stored(tx: Tx, visit: PageRequest) -> RoleDefinition:
    return roles.get(tx, visit.act, visit.request.path_params["role"])
