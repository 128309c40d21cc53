"""All routes of the console, and the switch between the light and the dark theme."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from authsec_server.console import (
    account,
    administrators,
    apis,
    clients,
    dashboard,
    guard,
    keys,
    picture,
    roles,
    search,
    second_factor,
    settings,
    sign_in,
)
from authsec_server.console.activity import pages as activity
from authsec_server.console.delegations import creation, edit_review
from authsec_server.console.delegations import pages as delegations
from authsec_server.console.issuers import changes as issuer_changes
from authsec_server.console.issuers import pages as issuers
from authsec_server.console.site import THEME_COOKIE, THEMES, Console, PageRequest, PublicRequest

YEAR = 365 * 86_400
PAGES = (
    *(sign_in, second_factor, account, dashboard, picture, search, clients),
    *(creation, edit_review, delegations),
    roles,
    apis,
    *(issuer_changes, issuers),
    activity,
    keys,
    administrators,
    settings,
)
"""The modules with pages. Each module has a function `routes(console)`. In a noun, fixed paths come before paths with a
name, because a name can be the same word."""


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of all pages and static files, and a "not found" page for all other paths."""
    pages = [route for module in PAGES for route in module.routes(console)]
    return [
        Route("/", _to_console, methods=["GET"]),
        console.assets.route(),
        console.open_page("/theme", post=switch_theme),
        *pages,
        console.page("/{path:path}", _missing, post=_missing),
    ]


async def _to_console(_request: Request) -> Response:
    return RedirectResponse("/console", 303, dict(guard.HEADERS))


async def _missing(_visit: PageRequest) -> Response:
    raise HTTPException(404)


async def switch_theme(guest: PublicRequest) -> Response:
    """Store the chosen theme in a cookie for a year. Without a choice, the console uses the theme of the system."""
    response = guest.redirect(guard.local_path(guest.form.text("back"), "/console"))
    chosen = guest.form.text("theme")
    if chosen in THEMES:
        secure = guest.console.settings.console_address.startswith("https:")
        response.set_cookie(THEME_COOKIE, chosen, max_age=YEAR, secure=secure, httponly=True, samesite="lax")
    return response
