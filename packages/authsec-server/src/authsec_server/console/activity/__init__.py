"""Activity: the audit trail, as pages, as a live stream and as files."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.activity import files, pages, stream
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """The pages of this noun; paths with words before those with numbers."""
    return [*files.routes(console), *stream.routes(console), *pages.routes(console)]
