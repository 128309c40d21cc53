"""Clients over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server import naming
from authsec_server.clients import service
from authsec_server.clients.model import Client, ClientKind, Onboarding, Proof, spiffe_id
from authsec_server.clients.proof_status import proof_status
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.sources import service as sources
from authsec_server.sources.model import TrustSource, provenance
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.instants import rfc3339
from authsec_server.web.paging import page_answer, read_page
from authsec_server.web.routing import Handler, resource
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/clients"
Verb = Callable[[Tx, Act, str], Client]
Seen = tuple[Client, Mapping[str, TrustSource]]


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

    def seen(tx: Tx, client: Client) -> Seen:
        return client, sources.by_ids(tx, client.source_ids)

    def onboarded(tx: Tx, act: Act, wanted: Onboarding) -> Seen:
        return seen(tx, service.create(tx, act, wanted, trust_domain=trust_domain))

    def listed(tx: Tx, act: Act, after: str, limit: int) -> tuple[list[Seen], str | None]:
        found, following = service.page(tx, act, after=after, limit=limit)
        known = sources.by_ids(tx, frozenset().union(*(client.source_ids for client in found)))
        return [(client, known) for client in found], following

    def shown(act: Act, each: Seen) -> dict[str, Any]:
        return as_json(*each, trust_domain, act.now)

    async def create(request: Request) -> JSONResponse:
        act = await site.act(request)
        wanted = (await read_body(request, NewClient)).onboarding()
        made = await site.change(
            act, lambda tx, act: seen(tx, service.create(tx, act, wanted, trust_domain=trust_domain))
        )
        return JSONResponse(shown(act, made), 201, {"Location": f"{PATH}/{made[0].id}"})

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, naming.is_slug)
        found, following = await site.read(lambda tx: listed(tx, act, asked.after, asked.limit))
        return page_answer([shown(act, each) for each in found], following)

    async def show(request: Request) -> JSONResponse:
        act = await site.act(request)
        found = await site.read(lambda tx: seen(tx, service.get(tx, act, request.path_params["client"])))
        return JSONResponse(shown(act, found))

    def turned(verb: Verb) -> Handler:
        async def turn(request: Request) -> JSONResponse:
            act = await site.act(request)
            found = await site.change(act, lambda tx, act: seen(tx, verb(tx, act, request.path_params["client"])))
            return JSONResponse(shown(act, found))

        return turn

    return [
        resource(PATH, get=page, post=create),
        resource(PATH + "/{client}", get=show),
        resource(PATH + "/{client}/disable", post=turned(service.disable)),
        resource(PATH + "/{client}/enable", post=turned(service.enable)),
    ]


def as_json(client: Client, known: Mapping[str, TrustSource], trust_domain: str, now: datetime) -> dict[str, Any]:
    """The client as the admin API shows it: `client_id` is its id by the name that OAuth gives it.

    `known` are the trust sources of its proofs, by id.
    """
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
        "proofs": [_proof_as_json(proof, known.get(proof.source_id or ""), now) for proof in client.proofs],
        "created_at": rfc3339(client.created_at),
    }


def _proof_as_json(proof: Proof, source: TrustSource | None, now: datetime) -> dict[str, Any]:
    status = proof_status(proof, source, now)
    return {
        "id": proof.id,
        "kind": proof.kind,
        "state": status.state,
        "missing": status.missing or None,
        "source": {"id": source.id, "slug": source.slug, "name": source.name} if source else None,
        "selectors": [{"key": each.key, "value": each.value} for each in proof.selectors],
        "provenance": {each.key: provenance(source, each.key) for each in proof.selectors} if source else None,
        "public_key": proof.public_key,
        "thumbprint": proof.thumbprint,
        "expires_at": rfc3339(proof.expires_at),
        "created_at": rfc3339(proof.created_at),
    }
