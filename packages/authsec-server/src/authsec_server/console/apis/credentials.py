"""An API's own credential: create it, show it once, and revoke it."""

from __future__ import annotations

from datetime import timedelta

from authsec.api_credential import VARIABLE
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.apis import credentials
from authsec_server.apis import service as apis
from authsec_server.apis.credential import Credential
from authsec_server.apis.model import Api
from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Failure, Invalid
from authsec_server.principal import Act, Role

PATH = "/apis/{api}/credentials"


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes that create and revoke a credential."""
    return [
        console.page(f"{PATH}/new", form, post=create, least=Role.OPERATOR),
        REVOKE.route(console),
    ]


async def form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the form for a new credential: its name and its lifetime."""

    def load(tx: Tx) -> tuple[Api, list[Credential]]:
        return apis.get(tx, visit.act, visit.named("api")), credentials.of_api(tx, visit.act, visit.named("api"))

    api, held = await visit.read(load)
    return visit.render(
        "apis/new_credential.html",
        title="New credential",
        problem=problem,
        api=api,
        name=visit.form.text("name", credentials.name_of_the_day(visit.act.now, held)),
        days=visit.form.text("days"),
    )


async def create(visit: PageRequest) -> Response:
    """Create the credential and show it once."""
    typed = visit.form

    def work(tx: Tx, act: Act) -> tuple[Api, Credential, str]:
        life = timedelta(days=min(typed.number("days"), 100_000)) if typed.text("days") else None
        made, text = credentials.create(tx, act, visit.named("api"), name=typed.text("name"), life=life)
        return apis.get(tx, act, visit.named("api")), made, text

    try:
        api, made, text = await visit.change(work)
    except (Invalid, Conflict) as failure:
        if isinstance(failure, Invalid) and failure.field == "expires_in":
            failure = Invalid(
                "days", "A credential can be valid for 1 to 3650 days.", "Leave the field empty for no expiry."
            )
        return await form(visit, failure)
    # It cannot be had again: nobody keeps it, this page neither.
    return visit.render(
        "apis/credential.html", title="API credential", api=api, credential=made, text=text, variable=VARIABLE
    )


def _look(tx: Tx, visit: PageRequest) -> Question:
    api = apis.get(tx, visit.act, visit.named("api"))
    credential = credentials.get(tx, visit.act, api.slug, visit.named("credential"))
    others = [
        each
        for each in credentials.of_api(tx, visit.act, api.slug)
        if each.refusal(visit.act.now) is None and each.id != credential.id
    ]
    return Question(
        name=credential.name,
        trail=[("APIs", "/console/apis"), (api.name, f"/console/apis/{api.slug}")],
        shown={"api": api, "credential": credential, "others": others},
    )


REVOKE = Confirmation(
    path=f"{PATH}/{{credential}}/revoke",
    template="apis/revoke_credential.html",
    heading="Revoke {}?",
    button="Revoke",
    look=_look,
    change=once(lambda tx, act, visit: credentials.revoke(tx, act, visit.named("api"), visit.named("credential"))),
    after=redirect_to("/console/apis/{api}", done="api_credential_revoked"),
)
