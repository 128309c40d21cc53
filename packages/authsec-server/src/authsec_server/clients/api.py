"""Clients over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server import naming
from authsec_server.clients import service
from authsec_server.clients.model import Client, ClientKind, Onboarding, Proof, spiffe_id
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.instants import rfc3339
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
    public_key: str | None = None
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
            slug=self.slug,
            owner=self.owner,
            description=self.description,
            labels=self.labels,
        )


def routes(site: Site, *, trust_domain: str) -> list[Route]:
    """The routes of this room. `trust_domain` is that of the clients' SPIFFE IDs."""

    async def create(request: Request) -> JSONResponse:
        act = await site.act(request)
        wanted = (await read_body(request, NewClient)).onboarding()
        client = await site.change(act, lambda tx, act: service.create(tx, act, wanted))
        return JSONResponse(as_json(client, trust_domain, act.now), 201, {"Location": f"{PATH}/{client.id}"})

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, naming.is_slug)
        found, following = await site.read(lambda tx: service.page(tx, act, after=asked.after, limit=asked.limit))
        return page_answer([as_json(client, trust_domain, act.now) for client in found], following)

    async def show(request: Request) -> JSONResponse:
        act = await site.act(request)
        client = await site.read(lambda tx: service.get(tx, act, request.path_params["client"]))
        return JSONResponse(as_json(client, trust_domain, act.now))

    def turned(verb: Verb) -> Handler:
        async def turn(request: Request) -> JSONResponse:
            act = await site.act(request)
            client = await site.change(act, lambda tx, act: verb(tx, act, request.path_params["client"]))
            return JSONResponse(as_json(client, trust_domain, act.now))

        return turn

    return [
        resource(PATH, get=page, post=create),
        resource(PATH + "/{client}", get=show),
        resource(PATH + "/{client}/disable", post=turned(service.disable)),
        resource(PATH + "/{client}/enable", post=turned(service.enable)),
    ]


def as_json(client: Client, trust_domain: str, now: datetime) -> dict[str, Any]:
    """The client as the admin API shows it: `client_id` is its id by the name that OAuth gives it."""
    return {
        "client_id": client.id,
        "spiffe_id": spiffe_id(trust_domain, client.id),
        "slug": client.slug,
        "name": client.name,
        "kind": client.kind,
        "platform": client.platform,
        "owner": client.owner,
        "description": client.description,
        "labels": dict(client.labels),
        "enabled": client.enabled,
        "can_prove_itself": client.can_prove_itself(now),
        "unattested": client.unattested(now),
        "proofs": [_proof_as_json(proof) for proof in client.proofs],
        "created_at": rfc3339(client.created_at),
    }


def _proof_as_json(proof: Proof) -> dict[str, Any]:
    return {
        "id": proof.id,
        "kind": proof.kind,
        "selectors": [{"key": selector.key, "value": selector.value} for selector in proof.selectors],
        "public_key": proof.public_key,
        "thumbprint": proof.thumbprint,
        "expires_at": rfc3339(proof.expires_at),
        "created_at": rfc3339(proof.created_at),
    }
