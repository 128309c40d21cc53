"""Administrators: people who can sign in, their sessions, and admin keys for programs."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.administrators import admin_keys, grants, invitations, people
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of administrators. Fixed paths come before paths with an id."""
    return [*invitations.routes(console), *admin_keys.routes(console), *grants.routes(console), *people.routes(console)]
