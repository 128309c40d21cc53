"""Protected APIs over HTTP."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server import naming
from authsec_server.apis import service
from authsec_server.apis.model import Action, Api, ApiKind
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.instants import rfc3339
from authsec_server.web.paging import page_answer, read_page
from authsec_server.web.routing import resource
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/apis"


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
        return JSONResponse(as_json(api), 201, {"Location": f"{PATH}/{api.id}"})

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, naming.is_slug)
        found, following = await site.read(lambda tx: service.page(tx, act, after=asked.after, limit=asked.limit))
        return page_answer(map(as_json, found), following)

    async def show(request: Request) -> JSONResponse:
        act = await site.act(request)
        api = await site.read(lambda tx: service.get(tx, act, request.path_params["api"]))
        return JSONResponse(as_json(api))

    return [
        resource(PATH, get=page, post=create),
        resource(PATH + "/{api}", get=show),
    ]


def as_json(api: Api) -> dict[str, Any]:
    """The API as the admin API shows it."""
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
    }
