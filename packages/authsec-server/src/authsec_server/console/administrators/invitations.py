"""Invitations for new administrators and password resets. Each one-time link is shown only once."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.accounts import administrators
from authsec_server.accounts.model import Administrator, NewLink
from authsec_server.console.administrators.people import about
from authsec_server.console.confirm import Confirmation, once
from authsec_server.console.site import Console, PageRequest
from authsec_server.failures import Conflict, Failure, Invalid
from authsec_server.principal import Role


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes that invite an administrator and reset a password."""
    return [
        console.page("/administrators/invite", form, post=invite, least=Role.ADMIN),
        RESET.route(console),
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
        return await form(visit, failure)
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
