"""`?dry_run=1`: what a POST would bring about, asked first, with nothing changed.

Routes of this kind come before all others. What has no dry run refuses: to do it would be the wrong answer.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from authsec_server.failures import Invalid
from authsec_server.web.bodies import query_value
from authsec_server.web.routing import Handler

NAME = "dry_run"


class DryRun(Route):
    """Answers the POSTs to its path that ask for a dry run, and no other request."""

    def __init__(self, path: str, answer: Handler) -> None:
        async def asked(request: Request) -> Response:
            if query_value(request, NAME) != "1":
                raise Invalid(NAME, f"{NAME} must be 1.", "Leave it out to do it.")
            return await answer(request)

        super().__init__(path, asked, methods=["POST"])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As any route, for those requests; for others, nothing is here."""
        if scope["type"] != "http" or scope["method"] != "POST" or NAME not in Request(scope).query_params:
            return Match.NONE, {}
        return super().matches(scope)


def no_dry_run(prefix: str) -> DryRun:
    """Refuses a dry run of everything below this that has none. After those that there are."""

    async def refuse(_request: Request) -> Response:
        raise Invalid(NAME, "There is no dry run of this. Nothing was done.", f"Leave out {NAME} to do it.")

    return DryRun(prefix + "{rest:path}", refuse)
