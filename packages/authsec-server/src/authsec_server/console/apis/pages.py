"""The list of APIs, and the page of one API: its actions, its callers and the code that protects it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.apis import credentials
from authsec_server.apis import service as apis
from authsec_server.apis.credential import Credential
from authsec_server.apis.model import Api
from authsec_server.console.apis.snippets import snippets
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import effective, live_tokens
from authsec_server.delegations.effective import ApiCaller
from authsec_server.delegations.live_tokens import TokensAtApi

PAGE = 50
SHOWN = 200


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the list and of one API."""
    return [console.page("/apis", listing), console.page("/apis/{api}", detail)]


async def listing(visit: PageRequest) -> Response:
    """List the APIs by slug."""
    text, after = visit.query.text("text"), visit.query.text("cursor")

    def look(tx: Tx) -> dict[str, Any]:
        found, following = apis.page(tx, visit.act, text=text, after=after, limit=PAGE)
        return {"rows": found, "following": following, "followed": _followed(tx, visit, found)}

    return visit.render("apis/list.html", title="APIs", narrowed=text, cursor=after, **await visit.read(look))


async def detail(visit: PageRequest) -> Response:
    """Show one API."""

    def load(tx: Tx) -> tuple[Api, list[ApiCaller], dict[str, TokensAtApi], list[Credential]]:
        api = apis.get(tx, visit.act, visit.named("api"))
        allowed = effective.callers_of(tx, visit.act, api, visit.console.terms, limit=SHOWN)
        return api, allowed, _followed(tx, visit, [api]), credentials.of_api(tx, visit.act, api.slug)

    api, allowed, followed, held = await visit.read(load)
    return visit.render(
        "apis/detail.html",
        title=api.name,
        api=api,
        callers=allowed,
        followed=followed[api.identifier],
        shown=SHOWN,
        credentials=held,
        shared=api.identifier == visit.console.terms.default_audience,
        snippets=snippets(visit.console.settings.issuer, api),
    )


def _followed(tx: Tx, visit: PageRequest, shown: Sequence[Api]) -> dict[str, TokensAtApi]:
    """Return, for each audience, whether the API with this audience follows the revocation feed."""
    found = live_tokens.at_apis(tx, visit.act.now, [api.identifier for api in shown], {})
    return {each.audience: each for each in found}
