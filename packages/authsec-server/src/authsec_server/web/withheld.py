"""Refuses requests while the database is older than its outside heads: a restored backup has forgotten revocations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from authsec_server.failures import Unavailable
from authsec_server.web.errors import error_response, retry_after

SENTENCE: Final = "The database is older than the heads it signed, so nothing is issued and nothing is changed."
REMEDY: Final = (
    "Restored a backup? The operator runs `authsec admin restored --head FILE` on the server's machine: docs/backup.md."
)
RETRY_SECONDS: Final = 5


def withheld() -> Unavailable:
    """The failure of a request that is refused."""
    return Unavailable(SENTENCE, REMEDY, retry_after=RETRY_SECONDS)


class Withheld:
    """Answers 503 while there is a reason (`why`), but for what may be read: `reading(method, path)`."""

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
