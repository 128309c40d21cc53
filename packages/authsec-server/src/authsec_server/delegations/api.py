"""Trust delegations over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.delegations import listing, service
from authsec_server.delegations.model import Proposal, Standing, Terms
from authsec_server.principal import Act
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.instants import parse_instant, rfc3339
from authsec_server.web.paging import page_answer, read_page
from authsec_server.web.routing import Handler, resource
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/delegations"
Verb = Callable[[Tx, Act, str, Terms], Standing]


class NewDelegation(Body):
    """A trust delegation to be created; see `Proposal`. `ends_at` is RFC 3339, `max_duration` in seconds."""

    role: str
    client: str
    target_type: str
    max_duration: int
    actions: list[str] = Field(default_factory=list)
    all_actions: bool = False
    audiences: list[str] = Field(default_factory=list)
    excluded_proofs: list[str] = Field(default_factory=list)
    ends_at: str | None = None
    owner: str | None = None
    description: str = ""
    slug: str | None = None

    def proposal(self) -> Proposal:
        """What is asked for, in the room's own terms."""
        return Proposal(
            role=self.role,
            client=self.client,
            target_type=self.target_type,
            max_duration=self.max_duration,
            actions=tuple(self.actions),
            all_actions=self.all_actions,
            audiences=tuple(self.audiences),
            excluded_proofs=tuple(self.excluded_proofs),
            ends_at=None if self.ends_at is None else parse_instant("ends_at", self.ends_at),
            owner=self.owner,
            description=self.description,
            slug=self.slug,
        )


def routes(site: Site, *, max_token_lifetime: int, default_audience: str) -> list[Route]:
    """The routes of this room, under what the settings say."""
    terms = Terms(max_token_lifetime=max_token_lifetime, default_audience=default_audience)

    async def create(request: Request) -> JSONResponse:
        act = await site.act(request)
        proposal = (await read_body(request, NewDelegation)).proposal()
        standing = await site.change(act, lambda tx, act: service.create(tx, act, proposal, terms))
        return JSONResponse(as_json(standing, act.now), 201, {"Location": f"{PATH}/{standing.delegation.id}"})

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, naming.is_uuid)
        found, following = await site.read(
            lambda tx: listing.page(tx, act, terms, after=asked.after, limit=asked.limit)
        )
        return page_answer([as_json(standing, act.now) for standing in found], following)

    async def show(request: Request) -> JSONResponse:
        act = await site.act(request)
        standing = await site.read(lambda tx: service.get(tx, act, request.path_params["delegation"], terms))
        return JSONResponse(as_json(standing, act.now))

    def turned(verb: Verb) -> Handler:
        async def turn(request: Request) -> JSONResponse:
            act = await site.act(request)
            standing = await site.change(act, lambda tx, act: verb(tx, act, request.path_params["delegation"], terms))
            return JSONResponse(as_json(standing, act.now))

        return turn

    return [
        resource(PATH, get=page, post=create),
        resource(PATH + "/{delegation}", get=show),
        resource(PATH + "/{delegation}/disable", post=turned(service.disable)),
        resource(PATH + "/{delegation}/enable", post=turned(service.enable)),
        resource(PATH + "/{delegation}/revoke", post=turned(service.revoke)),
    ]


def as_json(standing: Standing, now: datetime) -> dict[str, Any]:
    """The delegation as the admin API shows it."""
    delegation, role, client = standing.delegation, standing.role, standing.client
    return {
        "id": delegation.id,
        "slug": delegation.slug or None,
        "role": {"id": role.id, "slug": role.slug, "name": role.name},
        "client": {
            "id": client.id,
            "slug": client.slug,
            "name": client.name,
            "unattested": client.unattested(now),
        },
        "target_type": delegation.target_type,
        "actions": list(delegation.actions),
        "max_duration": delegation.max_duration,
        "audiences": list(delegation.audiences),
        "excluded_proofs": list(delegation.excluded_proofs),
        "ends_at": rfc3339(delegation.ends_at),
        "state": standing.state,
        "revoked_at": rfc3339(delegation.revoked_at),
        "owner": delegation.owner,
        "description": delegation.description,
        "created_at": rfc3339(delegation.created_at),
        "revision": delegation.revision,
        "changed_at": rfc3339(delegation.changed_at),
        "changed_by": delegation.changed_by or None,
        "warnings": [{"code": each.code, "message": each.message} for each in standing.cautions],
    }
