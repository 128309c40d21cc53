"""Administrators: people who can sign in, their sessions, and admin keys for programs.

| module | owns |
|---|---|
| `people` | the list; one administrator; invite, edit, disable, enable, reset |
| `admin_keys` | create and revoke admin keys |
| `grants` | all trust delegations of one administrator or key: list, and revoke together |
"""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.administrators import admin_keys, grants, people
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of administrators. Fixed paths come before paths with an id."""
    return [*admin_keys.routes(console), *grants.routes(console), *people.routes(console)]
