"""Clients over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server import naming
from authsec_server.clients import changes, service
from authsec_server.clients.model import Client, ClientKind, Onboarding
from authsec_server.clients.seen import Seen, as_json, made, see, see_all
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.paging import page_answer, read_page
from authsec_server.web.routing import Handler, resource
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/clients"
Verb = Callable[[Tx, Act, str], Client]


class NewSelector(Body):
    """One fact about the workload."""

    key: str
    value: str


class NewClient(Body):
    """A client to be onboarded; which of `selectors` and `public_key` (PEM) it needs, its platform says."""

    name: str
    platform: str
    kind: Literal["ai_agent", "mcp_server"] = "ai_agent"
    selectors: list[NewSelector] = Field(default_factory=list)
    public_key: str | None = Field(default=None, repr=False)  # somebody will paste a private one
    source: str | None = None  # the trust source that vouches for the selectors, where several could
    slug: str | None = None
    owner: str | None = None
    description: str = ""
    labels: dict[str, str] = Field(default_factory=dict)

    def onboarding(self) -> Onboarding:
        """What is asked for, in the room's own terms."""
        return Onboarding(
            name=self.name,
            platform=self.platform,
            kind=ClientKind(self.kind),
            selectors=tuple((each.key, each.value) for each in self.selectors),
            public_key=self.public_key,
            source=self.source,
            slug=self.slug,
            owner=self.owner,
            description=self.description,
            labels=self.labels,
        )


def routes(site: Site, *, trust_domain: str) -> list[Route]:
    """The routes of this room. `trust_domain` is that of the clients' SPIFFE IDs."""

    def listed(tx: Tx, act: Act, after: str, limit: int) -> tuple[list[Seen], str | None]:
        found, following = service.page(tx, act, after=after, limit=limit)
        return see_all(tx, found), following

    def shown(act: Act, each: Seen) -> dict[str, Any]:
        return as_json(each, trust_domain, act.now)

    async def create(request: Request) -> JSONResponse:
        act = await site.act(request)
        wanted = (await read_body(request, NewClient)).onboarding()
        client = await site.change(act, lambda tx, act: service.create(tx, act, wanted, trust_domain=trust_domain))
        seen = await site.read(lambda tx: see(tx, client))
        return made(seen, trust_domain, act.now, {"Location": f"{PATH}/{seen.client.id}"})

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, naming.is_slug)
        found, following = await site.read(lambda tx: listed(tx, act, asked.after, asked.limit))
        return page_answer([shown(act, each) for each in found], following)

    async def show(request: Request) -> JSONResponse:
        act = await site.act(request)
        found = await site.read(lambda tx: see(tx, service.get(tx, act, request.path_params["client"])))
        return JSONResponse(shown(act, found))

    def turned(verb: Verb) -> Handler:
        async def turn(request: Request) -> JSONResponse:
            act = await site.act(request)
            client = await site.change(act, lambda tx, act: verb(tx, act, request.path_params["client"]))
            found = await site.read(lambda tx: see(tx, client))
            return JSONResponse(shown(act, found))

        return turn

    return [
        resource(PATH, get=page, post=create),
        resource(PATH + "/{client}", get=show),
        resource(PATH + "/{client}/disable", post=turned(service.disable)),
        resource(PATH + "/{client}/enable", post=turned(service.enable)),
        resource(PATH + "/{client}/revoke-tokens", post=turned(changes.revoke_tokens)),
    ]
