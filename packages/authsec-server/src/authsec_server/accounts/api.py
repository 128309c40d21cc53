"""Admin keys over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server import naming
from authsec_server.accounts import service
from authsec_server.accounts.model.admin_keys import MAX_LIFE, AdminKey
from authsec_server.principal import Role
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.instants import rfc3339
from authsec_server.web.paging import page_answer, read_page
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/admin-keys"


class NewAdminKey(Body):
    """An admin key to be made; `expires_in` in seconds, null for never."""

    name: str
    role: Literal["viewer", "operator", "admin"]
    expires_in: int | None = Field(None, ge=0, le=int(MAX_LIFE.total_seconds()))

    @property
    def life(self) -> timedelta | None:
        """How long it shall live."""
        return None if self.expires_in is None else timedelta(seconds=self.expires_in)


def routes(site: Site) -> list[Route]:
    """The routes of this room."""

    async def create(request: Request) -> JSONResponse:
        act = await site.act(request)
        body = await read_body(request, NewAdminKey)
        key, text = await site.change(
            act, lambda tx, act: service.create(tx, act, name=body.name, role=Role[body.role.upper()], life=body.life)
        )
        headers = {"Cache-Control": "no-store"}
        return JSONResponse(as_json(key, act.now) | {"key": text}, 201, headers)

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, naming.is_name)
        found, following = await site.read(lambda tx: service.page(tx, act, after=asked.after, limit=asked.limit))
        return page_answer((as_json(key, act.now) for key in found), following)

    async def show(request: Request) -> JSONResponse:
        act = await site.act(request)
        key = await site.read(lambda tx: service.get(tx, act, request.path_params["key"]))
        return JSONResponse(as_json(key, act.now))

    async def revoke(request: Request) -> JSONResponse:
        act = await site.act(request)
        key = await site.change(act, lambda tx, act: service.revoke(tx, act, request.path_params["key"]))
        return JSONResponse(as_json(key, act.now))

    return [
        Route(PATH, create, methods=["POST"]),
        Route(PATH, page, methods=["GET"]),
        Route(PATH + "/{key}", show, methods=["GET"]),
        Route(PATH + "/{key}/revoke", revoke, methods=["POST"]),
    ]


def as_json(key: AdminKey, now: datetime) -> dict[str, Any]:
    """The key as the admin API shows it, always without its secret."""
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role.name.lower(),
        "state": key.state(now),
        "created_at": rfc3339(key.created_at),
        "expires_at": rfc3339(key.expires_at),
        "last_used_at": rfc3339(key.last_used_at),
        "revoked_at": rfc3339(key.revoked_at),
    }
