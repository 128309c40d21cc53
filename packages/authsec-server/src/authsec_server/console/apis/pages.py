"""The list of APIs, and one API: its actions, who may call it now, and the lines that protect it."""

from __future__ import annotations

from collections.abc import Sequence

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
    """The pages."""
    return [console.page("/apis", listing), console.page("/apis/{api}", detail)]


async def listing(visit: PageRequest) -> Response:
    """All APIs, by slug."""
    text, after = visit.query.text("text"), visit.query.text("cursor")

    def load(tx: Tx) -> tuple[list[Api], str | None, dict[str, TokensAtApi]]:
        found, following = apis.page(tx, visit.act, text=text, after=after, limit=PAGE)
        return found, following, _followed(tx, visit, found)

    found, following, followed = await visit.read(load)
    return visit.render(
        "apis/list.html", title="APIs", apis=found, text=text, cursor=after, following=following, followed=followed
    )


async def detail(visit: PageRequest) -> Response:
    """One API."""

    def load(tx: Tx) -> tuple[Api, list[ApiCaller], dict[str, TokensAtApi], list[Credential]]:
        api = apis.get(tx, visit.act, visit.request.path_params["api"])
        allowed = effective.who_may_call(tx, visit.act, api, visit.console.terms, limit=SHOWN)
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
    """By audience, who follows the feed of revocations."""
    found = live_tokens.at_apis(tx, visit.act.now, [api.identifier for api in shown], {})
    return {each.audience: each for each in found}
