"""Administrators: the people who may sign in, their sessions, and the admin keys of programs."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.administrators import admin_keys, grants, invitations, people
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """The pages of this noun; paths with words before those with names."""
    return [*invitations.routes(console), *admin_keys.routes(console), *grants.routes(console), *people.routes(console)]
