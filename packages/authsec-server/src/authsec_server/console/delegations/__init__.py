"""Trust Delegation: what is delegated, the four steps that delegate, and how a delegation is changed and ended."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.delegations import changing, creation, dashboard, detail, ending
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """The pages of this noun; paths with words before those with ids."""
    return [
        *creation.routes(console),
        *dashboard.routes(console),
        *changing.routes(console),
        *ending.routes(console),
        *detail.routes(console),
    ]
