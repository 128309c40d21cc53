"""Activity: the audit log as pages, as a live stream and as downloads.

| module | owns |
|---|---|
| `pages` | the audit log with its chart, its downloads, and the page of one event |
| `query` | the filter of the page, the stream and the downloads, in a query string |
| `stream` | the live audit log |
| `text` | the text of an event: who did what, and the proof behind a token |
| `token_revocation` | find one token by its event, its `jti` or its text, and revoke it |
"""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.activity import pages, stream
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """Return the activity routes. Fixed paths come first, because a path with an event number matches any word."""
    return [*stream.routes(console), *pages.routes(console)]
