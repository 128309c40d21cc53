"""Refuse requests while the database is older than checkpoints that are stored outside the database.

Such a database is a restored backup: it lacks the revocations that came after the backup.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from authsec_server.failures import Unavailable
from authsec_server.web.errors import error_response, retry_after

SENTENCE: Final = (
    "The database is older than checkpoints that it signed, so the server issues no tokens and changes nothing."
)
REMEDY: Final = (
    "If a backup was restored, the operator must run `authsec admin restored --checkpoint FILE` on the server's "
    "machine: docs/backup.md."
)
RETRY_SECONDS: Final = 5


def refusal() -> Unavailable:
    """Return the `Unavailable` failure for a refused request, with the remedy."""
    return Unavailable(SENTENCE, REMEDY, retry_after=RETRY_SECONDS)


class RefuseWhileOlder:
    """Middleware that refuses requests with 503 while `why` returns a reason.

    The middleware still passes a request on if `reading(method, path)` returns true.
    """

    def __init__(self, app: ASGIApp, *, why: Callable[[], str | None], reading: Callable[[str, str], bool]) -> None:
        self._app = app
        self._why = why
        self._reading = reading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._why() or self._reading(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        answer = error_response(
            Request(scope),
            503,
            reason=Unavailable.reason,
            error=SENTENCE,
            details=REMEDY,
            retryable=True,
            headers=retry_after(RETRY_SECONDS),
        )
        await answer(scope, receive, send)
