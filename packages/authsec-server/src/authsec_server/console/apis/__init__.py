"""APIs: what may be called, under which audience, by whom, and how each protects itself."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.apis import changes, credentials, pages
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """The pages of this noun; paths with words before those with names."""
    return [*changes.routes(console), *credentials.routes(console), *pages.routes(console)]
