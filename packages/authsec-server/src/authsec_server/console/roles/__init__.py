"""Roles & Actions: which roles there are, what each holds and who has it, and what a change of one brings about."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.roles import changes, pages, removal
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """The pages of this noun; paths with words before those with names."""
    return [*changes.routes(console), *removal.routes(console), *pages.routes(console)]
