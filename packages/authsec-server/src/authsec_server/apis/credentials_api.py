"""APIs' credentials over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.accounts.model.admin_keys import MAX_LIFE
from authsec_server.apis import credentials
from authsec_server.apis.api import PATH
from authsec_server.apis.credential import Credential
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.instants import rfc3339
from authsec_server.web.routing import resource
from authsec_server.web.site import Site


class NewCredential(Body):
    """A credential to be made; `expires_in` in seconds, null for never. Without a name it is called by its day."""

    name: str | None = None
    expires_in: int | None = Field(None, ge=0, le=int(MAX_LIFE.total_seconds()))

    @property
    def life(self) -> timedelta | None:
        """How long it shall live."""
        return None if self.expires_in is None else timedelta(seconds=self.expires_in)


def routes(site: Site) -> list[Route]:
    """The routes of APIs' credentials."""

    async def create(request: Request) -> JSONResponse:
        act = await site.act(request)
        body, asked = await read_body(request, NewCredential), request.path_params["api"]
        made, text = await site.change(
            act, lambda tx, act: credentials.create(tx, act, asked, name=body.name, life=body.life)
        )
        return JSONResponse(as_json(made, act.now) | {"credential": text}, 201, {"Cache-Control": "no-store"})

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        found = await site.read(lambda tx: credentials.of_api(tx, act, request.path_params["api"]))
        return JSONResponse({"items": [as_json(each, act.now) for each in found]})

    async def revoke(request: Request) -> JSONResponse:
        act = await site.act(request)
        api, its = (request.path_params[name] for name in ("api", "credential"))
        revoked = await site.change(act, lambda tx, act: credentials.revoke(tx, act, api, its))
        return JSONResponse(as_json(revoked, act.now))

    return [
        resource(PATH + "/{api}/credentials", get=page, post=create),
        resource(PATH + "/{api}/credentials/{credential}/revoke", post=revoke),
    ]


def as_json(credential: Credential, now: datetime) -> dict[str, Any]:
    """The credential as the admin API shows it: its text is nowhere."""
    return {
        "id": credential.id,
        "api_id": credential.api_id,
        "name": credential.name,
        "state": credential.state(now),
        "created_at": rfc3339(credential.created_at),
        "expires_at": rfc3339(credential.expires_at),
        "last_used_at": rfc3339(credential.last_used_at),
        "revoked_at": rfc3339(credential.revoked_at),
    }
