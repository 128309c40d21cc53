"""The pages of trusted issuers."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.issuers import changes, pages, trial, turns
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """The pages of this noun; paths with words before those with names."""
    return [*changes.routes(console), *turns.routes(console), *trial.routes(console), *pages.routes(console)]
