"""Pages about APIs: their audiences, actions and callers, and the code that protects each API.

| module | owns |
|---|---|
| `pages` | the list, one API, its form; register, edit and delete |
| `credentials` | the credential with which an API authenticates |
| `snippets` | code that protects an API, for each framework |
"""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.apis import credentials, pages
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of APIs. Fixed paths come before paths with a slug."""
    return [*credentials.routes(console), *pages.routes(console)]
