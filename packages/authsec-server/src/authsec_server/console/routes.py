"""All routes of the console."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from authsec_server.console import (
    account,
    activity,
    administrators,
    apis,
    authorization,
    clients,
    dashboard,
    delegations,
    entrance,
    guard,
    issuers,
    keys,
    roles,
    search,
    settings,
    theme,
)
from authsec_server.console.site import Console, PageRequest

ROOMS = (
    entrance,
    account,
    dashboard,
    search,
    clients,
    delegations,
    roles,
    apis,
    issuers,
    activity,
    keys,
    administrators,
    settings,
)
"""The modules with pages. Each module has a function `routes(console)`."""


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of all pages and static files, and a "not found" page for all other paths."""
    pages = [route for room in ROOMS for route in room.routes(console)]
    return [
        Route("/", _to_console, methods=["GET"]),
        console.assets.route(),
        theme.route(console),
        authorization.route(console),
        *pages,
        console.page("/{path:path}", _missing, post=_missing),
    ]


async def _to_console(_request: Request) -> Response:
    return RedirectResponse("/console", 303, dict(guard.HEADERS))


async def _missing(_visit: PageRequest) -> Response:
    raise HTTPException(404)
