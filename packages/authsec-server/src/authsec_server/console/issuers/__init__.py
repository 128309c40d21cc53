"""Trusted issuers: list, register, edit and remove them, and test their tokens."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.issuers import changes, pages, trial
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of trusted issuers. Fixed paths come before paths with a slug."""
    return [*changes.routes(console), *trial.routes(console), *pages.routes(console)]
