"""`/.well-known/security.txt` (RFC 9116): where to report a vulnerability of this authority."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

PATH: Final = "/.well-known/security.txt"
VALID_DAYS: Final = 30
"""Days from today until `Expires`. RFC 9116 section 2.5.5 recommends less than a year.

Each answer is made from the setting, so it does not get stale while the server runs. A copy of a server that is gone
ends after a month.
"""
_HEADERS: Final = {"Cache-Control": "public, max-age=3600"}


def routes(contacts: Sequence[str], *, issuer: str, now: Callable[[], datetime]) -> list[Route]:
    """Return the route of the file. Without a contact, there is no file (RFC 9116 section 2.5.3)."""
    if not contacts:
        return []
    # RFC 9116 section 2.5.2: a URI of the web has to begin with https.
    canonical = [f"Canonical: {issuer}{PATH}"] if issuer.startswith("https://") else []
    lines = [*(f"Contact: {contact}" for contact in contacts), *canonical]

    async def security_txt(_request: Request) -> Response:
        today = now().replace(hour=0, minute=0, second=0, microsecond=0)  # so that all servers answer the same
        expires = today + timedelta(days=VALID_DAYS)
        text = "\n".join([*lines, f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}", ""])
        return PlainTextResponse(text, headers=_HEADERS)

    return [Route(PATH, security_txt, methods=["GET"])]
