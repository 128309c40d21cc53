"""Sign-in and sign-out: one-time set-up links, e-mail and password, single sign-on."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.entrance import set_up, sign_in, single_sign_on
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of sign-in and sign-out."""
    return [*sign_in.routes(console), *set_up.routes(console), *single_sign_on.routes(console)]
