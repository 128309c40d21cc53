"""Roles over HTTP."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server import naming
from authsec_server.roles import service
from authsec_server.roles.model import RoleDefinition
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.instants import rfc3339
from authsec_server.web.paging import page_answer, read_page
from authsec_server.web.routing import resource
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/roles"


class NewRole(Body):
    """A role to be created."""

    name: str
    actions: list[str]
    slug: str | None = None
    description: str = ""


def routes(site: Site) -> list[Route]:
    """The routes of this room."""

    async def create(request: Request) -> JSONResponse:
        act = await site.act(request)
        body = await read_body(request, NewRole)
        role = await site.change(
            act,
            lambda tx, act: service.create(
                tx, act, name=body.name, actions=body.actions, slug=body.slug, description=body.description
            ),
        )
        return JSONResponse(as_json(role), 201, {"Location": f"{PATH}/{role.id}"})

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, naming.is_slug)
        found, following = await site.read(lambda tx: service.page(tx, act, after=asked.after, limit=asked.limit))
        return page_answer(map(as_json, found), following)

    async def show(request: Request) -> JSONResponse:
        act = await site.act(request)
        role = await site.read(lambda tx: service.get(tx, act, request.path_params["role"]))
        return JSONResponse(as_json(role))

    return [
        resource(PATH, get=page, post=create),
        resource(PATH + "/{role}", get=show),
    ]


def as_json(role: RoleDefinition) -> dict[str, Any]:
    """The role as the admin API shows it."""
    return {
        "id": role.id,
        "slug": role.slug,
        "name": role.name,
        "description": role.description,
        "actions": list(role.actions),
        "created_at": rfc3339(role.created_at),
        "revision": role.revision,
        "changed_at": rfc3339(role.changed_at),
    }
