"""An API's own credential: create, show once, and revoke."""

from __future__ import annotations

from datetime import timedelta

from authsec.api_credential import VARIABLE
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.apis import credentials
from authsec_server.apis import service as apis
from authsec_server.apis.credential import Credential
from authsec_server.apis.model import Api
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Failure, Invalid
from authsec_server.principal import Act, Role

PATH = "/apis/{api}/credentials"


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes that create and revoke a credential."""
    return [
        console.page(f"{PATH}/new", form, post=create, least=Role.OPERATOR),
        console.page(f"{PATH}/{{credential}}/revoke", ask, post=revoke, least=Role.OPERATOR),
    ]


async def form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the form for a new credential: its name and its lifetime."""

    def load(tx: Tx) -> tuple[Api, list[Credential]]:
        return apis.get(tx, visit.act, _api(visit)), credentials.of_api(tx, visit.act, _api(visit))

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
        made, text = credentials.create(tx, act, _api(visit), name=typed.text("name"), life=life)
        return apis.get(tx, act, _api(visit)), made, text

    try:
        api, made, text = await visit.change(work)
    except (Invalid, Conflict) as failure:
        if isinstance(failure, Invalid) and failure.field == "expires_in":
            failure = Invalid("days", "A credential lives 1 to 3650 days.", "Leave it empty for no end.")
        return await form(visit, failure)
    # It cannot be had again: nobody keeps it, this page neither.
    return visit.render(
        "apis/credential.html", title="API credential", api=api, credential=made, text=text, variable=VARIABLE
    )


async def ask(visit: PageRequest) -> Response:
    """Show the credential's last use and the API's other valid credentials, and ask for confirmation."""

    def load(tx: Tx) -> tuple[Api, Credential, list[Credential]]:
        api = apis.get(tx, visit.act, _api(visit))
        return api, credentials.get(tx, visit.act, api.slug, _credential(visit)), _standing(tx, visit, api)

    api, credential, standing = await visit.read(load)
    others = [each for each in standing if each.id != credential.id]
    return visit.render(
        "apis/revoke_credential.html",
        title=f"Revoke {credential.name}?",
        api=api,
        credential=credential,
        others=others,
    )


async def revoke(visit: PageRequest) -> Response:
    """Revoke the credential."""
    await visit.change(lambda tx, act: credentials.revoke(tx, act, _api(visit), _credential(visit)))
    return visit.redirect(f"/console/apis/{_api(visit)}", done="api_credential_revoked")


def _api(visit: PageRequest) -> str:
    return str(visit.request.path_params["api"])


def _credential(visit: PageRequest) -> str:
    return str(visit.request.path_params["credential"])


def _standing(tx: Tx, visit: PageRequest, api: Api) -> list[Credential]:
    held = credentials.of_api(tx, visit.act, api.slug)
    return [each for each in held if each.refusal(visit.act.now) is None]
