"""Trusted issuers: list, register, edit and remove them, and test their tokens.

| module | owns |
|---|---|
| `pages` | the list; one issuer with its keys and clients; `Try a token` |
| `changes` | the form; register, edit, disable, enable, remove; fetch keys, check the cluster, bind proofs |
| `unavailable` | warnings about unavailable issuers, on the pages of their clients |
"""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.console.issuers import changes, pages
from authsec_server.console.site import Console


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of trusted issuers. Fixed paths come before paths with a slug."""
    return [*changes.routes(console), *pages.routes(console)]
