"""Invitations for new administrators and password resets. Each one-time link is shown only once."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.accounts import administrators
from authsec_server.accounts.model import Administrator, NewLink
from authsec_server.console.site import Console, PageRequest
from authsec_server.failures import Conflict, Failure, Invalid
from authsec_server.principal import Role


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes that invite an administrator and reset a password."""
    return [
        console.page("/administrators/invite", form, post=invite, least=Role.ADMIN),
        console.page("/administrators/{administrator}/reset", ask_reset, post=reset, least=Role.ADMIN),
    ]


async def form(visit: PageRequest, problem: Failure | None = None) -> Response:
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
    """Invite the administrator and show the link. The person who invites must pass the link on."""
    typed = visit.form
    try:
        role = Role.__members__.get(typed.text("role").upper())
        if role is None:
            raise Invalid("role", "Choose one of the roles.")
        person, link = await visit.change(
            lambda tx, act: administrators.invite(
                tx, act, email=typed.text("email"), name=typed.text("name"), role=role
            )
        )
    except (Invalid, Conflict) as failure:
        return await form(visit, failure)
    return _shown(visit, person, link, "Invitation")


async def ask_reset(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show what a password reset ends, and ask for confirmation."""
    reference = visit.request.path_params["administrator"]
    person = await visit.read(lambda tx: administrators.get(tx, visit.act, reference))
    return visit.render("administrators/reset.html", title="Reset password", problem=problem, person=person)


async def reset(visit: PageRequest) -> Response:
    """Reset the password. The old password and all sessions end; a one-time link sets the new password."""
    reference = visit.request.path_params["administrator"]
    try:
        person, link = await visit.change(lambda tx, act: administrators.reset(tx, act, reference))
    except Conflict as failure:
        return await ask_reset(visit, failure)
    return _shown(visit, person, link, "New password")


def _shown(visit: PageRequest, person: Administrator, link: NewLink, title: str) -> Response:
    address = visit.console.settings.issuer + link.path
    return visit.render("administrators/link.html", title=title, person=person, link=link.link, address=address)
