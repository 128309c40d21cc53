"""Pages about APIs: their audiences, actions and callers, and the code that protects each API."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.apis import changes, credentials, pages
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of APIs. Fixed paths come before paths with a slug."""
    return [*changes.routes(console), *credentials.routes(console), *pages.routes(console)]
