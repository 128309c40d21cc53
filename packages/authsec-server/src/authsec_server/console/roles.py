"""Roles & Actions: the list and the page of one role; create, edit and delete a role.

Before actions change, a page shows which clients lose and gain permissions. In the form of a role, the actions that
APIs describe have checkboxes. A text field has the other actions, one action on each line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.apis import service as apis
from authsec_server.apis.model import Described, parse_action
from authsec_server.audit import counts
from authsec_server.console.client_status import statuses_of
from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.forms import Form, at_typed_slug, placed, stored_meanwhile
from authsec_server.console.issuers.unavailable import outages
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact, service
from authsec_server.delegations import search as delegations
from authsec_server.delegations.model import DelegationFilters, DelegationState
from authsec_server.failures import Conflict, Failure, Invalid, Outdated
from authsec_server.principal import Act, Role
from authsec_server.revisions import checked, require_current
from authsec_server.roles import service as roles
from authsec_server.roles.model import EDITABLE, RoleDefinition

PAGE = 50
HOLDERS = 20  # delegations shown on the role's page; the list of delegations has all
USED_WITHIN = timedelta(days=30)
IN_USE = (DelegationState.LIVE, DelegationState.DISABLED)
SHOWN = 20  # delegations of each state
TEXTS = ("slug", *(name for name in EDITABLE if name != "actions"))
MOST = 1000  # maximum number of checkboxes; a text field takes other actions


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of roles. Fixed paths come before paths with a slug."""
    return [
        console.page("/roles", listing),
        console.page("/roles/new", form, post=create, least=Role.OPERATOR),
        console.page("/roles/{role}/edit", edit_form, post=edit, least=Role.OPERATOR),
        DELETE.route(console),
        console.page("/roles/{role}", detail),
    ]


async def listing(visit: PageRequest) -> Response:
    """List the roles, or those that match the search."""
    text, after = visit.query.text("q")[:200], visit.query.text("cursor")

    def look(tx: Tx) -> dict[str, Any]:
        found, following = roles.page(tx, visit.act, text=text, after=after, limit=PAGE)
        uses = delegations.using(tx, [role.id for role in found], visit.act.now)
        return {"rows": found, "following": following, "uses": uses}

    seen = await visit.read(look)
    return visit.render("roles/list.html", title="Roles & Actions", narrowed=text, cursor=after, **seen)


async def detail(visit: PageRequest) -> Response:
    """Show one role."""
    silent = await outages(visit)

    def look(tx: Tx) -> dict[str, Any]:
        role = _stored(tx, visit)
        live = DelegationFilters(role_id=role.id, state=DelegationState.LIVE)
        held, following = delegations.page(tx, visit.act, visit.console.terms, live, limit=HOLDERS)
        return {
            "role": role,
            "held": held,
            "statuses": statuses_of(tx, [each.client for each in held], visit.act.now, silent),
            "more": following is not None,
            "uses": delegations.using(tx, [role.id], visit.act.now)[role.id],
            "meanings": apis.describing(tx, visit.act, role.actions),
            "used": counts.actions_used(tx, [role.id], visit.act.now - USED_WITHIN),
            "last_uses": counts.last_uses(tx, [each.delegation.id for each in held]),
        }

    seen = await visit.read(look)
    return visit.render("roles/detail.html", title=seen["role"].name, **seen)


async def form(visit: PageRequest, typed: TypedRole | None = None, problem: Failure | None = None) -> Response:
    """Show the form that creates a role, with the typed values if there are any."""
    typed = typed or TypedRole()
    offered = await visit.read(lambda tx: described_actions(tx, visit.act))
    return visit.render("roles/new.html", title="Create role", problem=problem, typed=typed, offered=offered)


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
        revision=visit.revision_of(role, problem),
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
    return visit.saved(f"/console/roles/{role.slug}", role, revision)


async def _review(visit: PageRequest, typed: TypedRole, revision: int) -> Response | None:
    """Show the change and its impact. Return None if no action changes.

    Clients gain or lose permissions only if actions change.
    """

    def look(tx: Tx) -> dict[str, Any]:
        role = _stored(tx, visit)
        require_current(role, revision, "This role")
        after = checked(EDITABLE, typed.changes)["actions"]
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
        name=role.name,
        trail=[("Roles & Actions", "/console/roles"), (role.name, f"/console/roles/{role.slug}")],
        ids={"role": role.id},
        possible=not in_use,
        shown={
            "role": role,
            "in_use": in_use,
            "statuses": statuses_of(tx, [each.client for each in in_use], visit.act.now),
            "uses": delegations.using(tx, [role.id], visit.act.now)[role.id],
        },
    )


DELETE = Confirmation(
    path="/roles/{role}/delete",
    template="roles/delete.html",
    heading="Delete the role {}?",
    button="Delete role",
    look=_look,
    change=once(lambda tx, act, visit: service.delete_role(tx, act, visit.named("role"))),
    after=redirect_to("/console/roles", done="role_deleted"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """The actions of one resource that APIs describe, each with its meaning at each API."""

    resource: str
    actions: Mapping[str, Sequence[Described]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedRole:
    """The values in the form of a role, typed by a person or stored. `written` is the text field for other actions."""

    texts: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(TEXTS, ""))
    ticked: Sequence[str] = ()
    written: str = ""

    @property
    def actions(self) -> list[str]:
        """Return the actions with a ticked checkbox, then those in the text field. They are not validated yet."""
        return [*self.ticked, *(text for _, text in _lines(self.written))]

    @property
    def begun(self) -> bool:
        """Whether the form has a name or an action."""
        return bool(self.texts["name"] or self.actions)

    @property
    def changes(self) -> dict[str, Any]:
        """Return the fields that an edit can change. They are not validated yet."""
        return {**{name: text for name, text in self.texts.items() if name != "slug"}, "actions": self.actions}

    @property
    def readable(self) -> dict[str, str]:
        """Return each editable field as one line of text."""
        listed = self.changes | {"actions": ", ".join(sorted(set(self.actions)))}
        return {name: text or "nothing" for name, text in listed.items()}


def typed_role(form: Form, prefix: str = "") -> TypedRole:
    """Read the form of a role. The names of its fields begin with `prefix`."""
    return TypedRole(
        texts={name: form.text(f"{prefix}{name}") for name in TEXTS},
        ticked=[text.strip() for text in form.all(f"{prefix}actions") if text.strip()],
        written=form.exact(f"{prefix}other_actions"),
    )


def stored_role(role: RoleDefinition, offered: Sequence[Offered]) -> TypedRole:
    """Return the form filled with the stored role."""
    known = {action for group in offered for action in group.actions}
    return TypedRole(
        texts={name: getattr(role, name) for name in TEXTS},
        ticked=[action for action in role.actions if action in known],
        written="\n".join(action for action in role.actions if action not in known),
    )


def described_actions(tx: Tx, act: Act) -> list[Offered]:
    """Return the actions that APIs describe, grouped by resource. Each action occurs once."""
    actions = sorted(apis.described(tx))[:MOST]
    meanings = apis.describing(tx, act, actions)
    return [
        Offered(resource=resource, actions={action: meanings[action] for action in its})
        for resource, its in groupby(actions, key=lambda action: action.partition(":")[0])
    ]


_FIELDS = ("name", "slug", "description", "actions", "other_actions")
"""The fields of the form, in its order."""


def at_fields(typed: TypedRole, failure: Invalid | Conflict, prefix: str = "") -> Invalid | Conflict:
    """Move the problem and its others to the form fields that the person must correct."""
    order = [f"{prefix}{name}" for name in _FIELDS]
    return placed(failure, lambda each: _at_field(typed, each, prefix), order)


def _at_field(typed: TypedRole, failure: Invalid | Conflict, prefix: str) -> Invalid | Conflict:
    if isinstance(failure, Conflict):
        return at_typed_slug(failure, typed.texts["slug"], kind="role", pages="/console/roles", prefix=prefix)
    if failure.field.startswith("actions"):
        return _at_lines(typed, failure, prefix)
    message = f"{prefix}{failure.message}" if failure.message.startswith("name ") else failure.message
    field = "name" if prefix and failure.field == "slug" else failure.field  # that form has no field for the slug
    return Invalid(f"{prefix}{field}", message, failure.remedy)


def _at_lines(typed: TypedRole, invalid: Invalid, prefix: str) -> Invalid:
    """Return one problem that names every wrong line of the text field by its number.

    The problem `invalid` of the service names only the first wrong action.
    """
    wrong, remedy = [], invalid.remedy
    for line, text in _lines(typed.written):
        try:
            parse_action(text)
        except Invalid as problem:
            wrong.append(f"Line {line}: {problem.message}")
            remedy = problem.remedy
    return Invalid(f"{prefix}other_actions", " ".join(wrong) or invalid.message, remedy)


def _lines(written: str) -> list[tuple[int, str]]:
    lines = enumerate(written.splitlines(), start=1)
    return [(number, text) for number, line in lines for text in line.replace(",", " ").split()]
