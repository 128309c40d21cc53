"""Roles & Actions: the roles, their actions, the clients that have them, and the impact of a change."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.roles import changes, pages
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of roles. Fixed paths come before paths with a slug."""
    return [*changes.routes(console), *pages.routes(console)]
