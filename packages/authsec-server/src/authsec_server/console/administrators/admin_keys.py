"""Admin keys, with which programs and the remote command line authenticate. The console shows a new key only once."""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.accounts import admin_keys
from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Failure, Invalid
from authsec_server.principal import Role


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes that create and revoke admin keys."""
    return [
        console.page("/administrators/keys/new", form, post=create, least=Role.ADMIN),
        REVOKE.route(console),
    ]


async def form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the form for a new admin key."""
    return visit.render(
        "administrators/new_key.html",
        title="New admin key",
        problem=problem,
        name=visit.form.text("name"),
        role=visit.form.text("role", "operator"),
        days=visit.form.text("days", "90"),
    )


async def create(visit: PageRequest) -> Response:
    """Create the admin key and show it once."""
    typed = visit.form
    try:
        role = Role.__members__.get(typed.text("role").upper())
        if role is None:
            raise Invalid("role", "Choose a role from the list.")
        life = timedelta(days=min(typed.number("days"), 100_000)) if typed.text("days") else None
        key, text = await visit.change(
            lambda tx, act: admin_keys.create(tx, act, name=typed.text("name"), role=role, life=life)
        )
    except (Invalid, Conflict) as failure:
        field = {"expires_in": "days"}
        if isinstance(failure, Invalid) and failure.field in field:
            failure = Invalid(
                field[failure.field],
                "An admin key can be valid for 1 to 3650 days.",
                "Leave the field empty for no expiry.",
            )
        return await form(visit, failure)
    return visit.render("administrators/key.html", title="Admin key", key=key, text=text)


def _look(tx: Tx, visit: PageRequest) -> Question:
    key = admin_keys.get(tx, visit.act, visit.named("key"))
    trail = [("Administrators", "/console/administrators")]
    return Question(name=key.name, trail=trail, ids={"key": key.id}, shown={"key": key})


REVOKE = Confirmation(
    path="/administrators/keys/{key}/revoke",
    template="administrators/revoke_key.html",
    heading="Revoke {}?",
    button="Revoke",
    least=Role.ADMIN,
    look=_look,
    change=once(lambda tx, act, visit: admin_keys.revoke(tx, act, visit.named("key"))),
    after=redirect_to("/console/administrators", done="admin_key_revoked"),
)
