"""The list of administrators, and the page of one administrator: role, name, sessions, latest actions.

An invitation and a password reset show a one-time link, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.accounts import admin_keys, administrators, sessions
from authsec_server.accounts.model import Administrator, NewLink
from authsec_server.audit import service as audit
from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.forms import stored_meanwhile
from authsec_server.console.site import Console, Page, PageRequest
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Failure, Invalid, Outdated
from authsec_server.principal import Act, PrincipalKind, Role

PAGE = 50
PATH = "/administrators/{administrator}"


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of administrators. Fixed paths come before paths with an id."""
    return [
        console.page("/administrators/invite", invitation_form, post=invite, least=Role.ADMIN),
        RESET.route(console),
        console.page("/administrators", listing),
        console.page(PATH, detail, post=edit),
        DISABLE.route(console),
        console.page(
            f"{PATH}/enable", post=set_enabled(administrators.enable, "administrator_enabled"), least=Role.ADMIN
        ),
        console.page(f"{PATH}/end-sessions", post=set_enabled(sessions.end_all, "sessions_ended"), least=Role.ADMIN),
    ]


async def listing(visit: PageRequest) -> Response:
    """List the administrators and the admin keys."""
    after = visit.query.text("cursor")
    (people, following), (keys, more_keys) = await visit.read(
        lambda tx: (
            administrators.page(tx, visit.act, after=after, limit=PAGE),
            admin_keys.page(tx, visit.act, limit=200),
        )
    )
    return visit.render(
        "administrators/list.html",
        title="Administrators",
        people=people,
        following=following,
        cursor=after,
        keys=keys,
        more_keys=more_keys is not None,
    )


async def detail(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show one administrator."""

    def load(tx: Tx) -> dict[str, Any]:
        person = administrators.get(tx, visit.act, visit.named("administrator"))
        mine = person.id == visit.act.principal.id
        see = visit.may("admin") or mine
        terms = visit.console.session_terms
        return {
            "person": person,
            "mine": mine,
            "sessions": sessions.of(tx, visit.act, person.id, terms=terms) if see else [],
            "acts": audit.principal_acts(tx, visit.act.principal, PrincipalKind.ADMINISTRATOR, person.id),
        }

    found = await visit.read(load)
    person = found["person"]
    stored = {"email": person.email, "name": person.name, "role": person.role.name.lower()}
    typed = {name: visit.form.text(name) or value for name, value in stored.items()}
    return visit.render(
        "administrators/detail.html",
        title=person.name,
        problem=problem,
        typed=typed,
        known=stored_meanwhile(problem, stored, typed),
        revision=visit.revision_of(person, problem),
        **found,
    )


async def edit(visit: PageRequest) -> Response:
    """Change an administrator's email, name or role."""
    reference, form = visit.named("administrator"), visit.form

    def work(tx: Tx, act: Act) -> Administrator:
        person = administrators.rename(tx, act, reference, form.text("name"), revision=form.number("revision"))
        if form.text("email"):
            person = administrators.change_email(tx, act, reference, form.text("email"), revision=person.revision)
        role = Role.__members__.get(form.text("role").upper())
        if role is None:
            raise Invalid("role", "Choose a role from the list.")
        if role is person.role:
            return person
        return administrators.change_role(tx, act, reference, role, revision=person.revision)

    try:
        person = await visit.change(work)
    except (Invalid, Conflict, Outdated) as failure:
        return await detail(visit, failure)
    return visit.redirect(f"/console/administrators/{person.id}", done="saved")


def set_enabled(verb: Callable[[Tx, Act, str], object], done: str) -> Page:
    """Return the handler of a button on an administrator's page.

    `verb` makes the change. `done` is the key of the notice after the change.
    """

    async def turn(visit: PageRequest) -> Response:
        reference = visit.named("administrator")
        try:
            await visit.change(lambda tx, act: verb(tx, act, reference))
        except Conflict as failure:
            return await detail(visit, failure)
        return visit.redirect(f"/console/administrators/{reference}", done=done)

    return turn


def about(person: Administrator, **shown: object) -> Question:
    """Return the confirmation question for a change of this administrator."""
    return Question(
        name=person.name,
        trail=[("Administrators", "/console/administrators"), (person.name, f"/console/administrators/{person.id}")],
        ids={"administrator": person.id},
        shown={"person": person, **shown},
    )


def _look(tx: Tx, visit: PageRequest) -> Question:
    person = administrators.get(tx, visit.act, visit.named("administrator"))
    return about(person, sessions=len(sessions.of(tx, visit.act, person.id, terms=visit.console.session_terms)))


DISABLE = Confirmation(
    path=f"{PATH}/disable",
    template="administrators/disable.html",
    heading="Disable {}?",
    button="Disable",
    least=Role.ADMIN,
    look=_look,
    change=once(lambda tx, act, visit: administrators.disable(tx, act, visit.named("administrator"))),
    after=redirect_to(f"/console{PATH}", done="administrator_disabled"),
)


async def invitation_form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the invitation form."""
    return visit.render(
        "administrators/invite.html",
        title="Invite an administrator",
        problem=problem,
        email=visit.form.text("email"),
        name=visit.form.text("name"),
        role=visit.form.text("role", "operator"),
    )


async def invite(visit: PageRequest) -> Response:
    """Invite the administrator and show the one-time link.

    The person who invites must send the link to the new administrator.
    """
    typed = visit.form
    try:
        role = Role.__members__.get(typed.text("role").upper())
        if role is None:
            raise Invalid("role", "Choose a role from the list.")
        person, link = await visit.change(
            lambda tx, act: administrators.invite(
                tx, act, email=typed.text("email"), name=typed.text("name"), role=role
            )
        )
    except (Invalid, Conflict) as failure:
        return await invitation_form(visit, failure)
    return _shown(visit, person, link, "Invitation")


def _shown(visit: PageRequest, person: Administrator, link: NewLink, title: str) -> Response:
    address = visit.console.settings.issuer + link.path
    return visit.render("administrators/link.html", title=title, person=person, link=link.link, address=address)


RESET = Confirmation(
    path="/administrators/{administrator}/reset",
    template="administrators/reset.html",
    heading="Reset password",
    button="Reset password",
    least=Role.ADMIN,
    look=lambda tx, visit: about(administrators.get(tx, visit.act, visit.named("administrator"))),
    change=once(lambda tx, act, visit: administrators.reset(tx, act, visit.named("administrator"))),
    after=lambda visit, made: _shown(visit, *made, "New password"),
)
"""The old password and all sessions end; a one-time link sets the new password."""
