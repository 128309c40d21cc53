"""The log over HTTP: its newest head for administrators, the keys that verify heads for everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.audit.api import PATH
from authsec_server.audit.sealing import service
from authsec_server.principal import Role
from authsec_server.web.site import Site

HEAD_PATH = PATH + "/head"
KEYS_PATH = "/authsec/v1/audit/keys"
ADMIN_KEYS_PATH = PATH + "/keys"  # the same keys, for whoever reaches the admin API only, as the command line does


def routes(site: Site, published: Callable[[], Sequence[Mapping[str, Any]]]) -> list[Route]:
    """The routes of the log. `published` are the keys as JWKs; it blocks its thread."""

    async def head(request: Request) -> JSONResponse:
        act = await site.act(request)
        return JSONResponse({"head": await site.read(lambda tx: service.newest_head(tx, act.principal))})

    async def keys(_request: Request) -> JSONResponse:
        return JSONResponse({"keys": await run_in_threadpool(published)})

    async def keys_for_administrators(request: Request) -> JSONResponse:
        (await site.act(request)).principal.require(Role.VIEWER)
        return await keys(request)

    return [
        Route(HEAD_PATH, head, methods=["GET"]),
        Route(ADMIN_KEYS_PATH, keys_for_administrators, methods=["GET"]),
        Route(KEYS_PATH, keys, methods=["GET"]),
    ]
