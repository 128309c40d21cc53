"""Protected APIs over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server import naming
from authsec_server.apis import service
from authsec_server.apis.model import Action, Api, ApiKind
from authsec_server.db import Tx
from authsec_server.revocations.followers import service as followers
from authsec_server.revocations.followers.model import Following, Seen
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.instants import rfc3339
from authsec_server.web.paging import page_answer, read_page
from authsec_server.web.routing import resource
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/apis"
Followed = Mapping[str, Seen]


class DescribedAction(Body):
    """An action in the API's own words."""

    action: str
    description: str


class NewApi(Body):
    """An API to be registered."""

    name: str
    identifier: str
    kind: Literal["api", "mcp_server"] = "api"
    slug: str | None = None
    description: str = ""
    actions: list[DescribedAction] = Field(default_factory=list)


def routes(site: Site) -> list[Route]:
    """The routes of this room."""

    async def create(request: Request) -> JSONResponse:
        act = await site.act(request)
        body = await read_body(request, NewApi)
        api = await site.change(
            act,
            lambda tx, act: service.create(
                tx,
                act,
                name=body.name,
                identifier=body.identifier,
                kind=ApiKind(body.kind),
                slug=body.slug,
                description=body.description,
                actions=[Action(action=each.action, description=each.description) for each in body.actions],
            ),
        )
        followed = await site.read(lambda tx: followers.seen(tx, [api.identifier]))
        return JSONResponse(as_json(api, followed, act.now), 201, {"Location": f"{PATH}/{api.id}"})

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, naming.is_slug)

        def load(tx: Tx) -> tuple[list[Api], str | None, Followed]:
            found, following = service.page(tx, act, after=asked.after, limit=asked.limit)
            return found, following, followers.seen(tx, [api.identifier for api in found])

        found, following, followed = await site.read(load)
        return page_answer((as_json(api, followed, act.now) for api in found), following)

    async def show(request: Request) -> JSONResponse:
        act = await site.act(request)

        def load(tx: Tx) -> tuple[Api, Followed]:
            api = service.get(tx, act, request.path_params["api"])
            return api, followers.seen(tx, [api.identifier])

        return JSONResponse(as_json(*await site.read(load), act.now))

    return [
        resource(PATH, get=page, post=create),
        resource(PATH + "/{api}", get=show),
    ]


def as_json(api: Api, followed: Followed, now: datetime) -> dict[str, Any]:
    """The API as the admin API shows it; `followed` is what is known of who follows revocations."""
    seen = followed.get(api.identifier)
    following = seen.at(now) if seen else Following.NO
    return {
        "id": api.id,
        "slug": api.slug,
        "name": api.name,
        "kind": api.kind,
        "identifier": api.identifier,
        "description": api.description,
        "actions": [{"action": each.action, "description": each.description} for each in api.actions],
        "created_at": rfc3339(api.created_at),
        "revision": api.revision,
        "changed_at": rfc3339(api.changed_at),
        "revocations": {
            "following": following is not Following.NO,
            "proved": following is Following.PROVED,
            "seen_at": rfc3339(seen.seen_at) if seen else None,
        },
    }
