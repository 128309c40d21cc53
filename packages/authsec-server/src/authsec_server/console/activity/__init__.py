"""Activity: the audit log as pages, as a live stream and as downloads."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.activity import files, pages, stream
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """Return the activity routes. Fixed paths come first, because a path with an event number matches any word."""
    return [*files.routes(console), *stream.routes(console), *pages.routes(console)]
