"""Trust delegations: the list, the four steps that create one, and the pages that change or end one."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.delegations import changing, creation, dashboard, detail, ending
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of trust delegations. Fixed paths come before paths with an id."""
    return [
        *creation.routes(console),
        *dashboard.routes(console),
        *changing.routes(console),
        *(each.route(console) for each in ending.ENDINGS),
        *detail.routes(console),
    ]
