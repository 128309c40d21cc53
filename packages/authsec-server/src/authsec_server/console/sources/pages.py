"""The page of trust sources."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.clients.selectors import KEYS
from authsec_server.console.site import Console, Visit


def routes(console: Console) -> list[BaseRoute]:
    """The page of this noun."""
    return [console.page("/sources", show)]


async def show(visit: Visit) -> Response:
    """What a trust source is for, and what needs one."""
    return visit.render("sources/show.html", title="Trust sources", platforms=KEYS)
