"""The light or dark theme. A cookie keeps a person's choice for a year.

Without a choice, the console uses the theme of the person's system.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from authsec_server.console.guard import local_path
from authsec_server.console.site import THEME_COOKIE, THEMES, Console, PublicRequest

YEAR = 365 * 86_400


def route(console: Console) -> Route:
    """Return the route that switches the theme."""

    async def switch(guest: PublicRequest) -> Response:
        response = guest.redirect(local_path(guest.form.text("back"), "/console"))
        chosen = guest.form.text("theme")
        if chosen in THEMES:
            secure = console.settings.issuer.startswith("https:")
            response.set_cookie(THEME_COOKIE, chosen, max_age=YEAR, secure=secure, httponly=True, samesite="lax")
        return response

    return console.open_page("/theme", post=switch)
