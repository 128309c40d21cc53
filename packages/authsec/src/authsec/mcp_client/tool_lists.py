"""The last list of tools of each server, for a client that asks for the list while the agent is denied.

Some frameworks list the tools before each turn of the model and end the run on an error, so the model would never read
the denial. An outdated list allows nothing: the server verifies each call.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

_LONGEST: Final = 1024 * 1024  # the limit of `mcp` for an event; a longer list is not kept
_MOST: Final = 64  # pages, of all servers of one HTTP client

Page = tuple[str, str | None]  # the server's URL and the cursor


class ToolLists:
    """The lists of one HTTP client, and so of one agent, by server and page."""

    def __init__(self) -> None:
        self._results: dict[Page, dict[str, Any]] = {}

    def last(self, request: Any, message: dict[str, Any]) -> dict[str, Any] | None:
        """The server's last result for this request, if the request lists tools."""
        page = page_of(request, message)
        return None if page is None else self._results.get(page)

    async def keeping(self, page: Page, pieces: AsyncIterator[bytes], *, is_stream: bool) -> AsyncIterator[bytes]:
        """The same pieces. The list is kept before it is yielded: `mcp` stops reading after the result."""
        kept = b""
        async for piece in pieces:
            kept = kept + piece if len(kept) + len(piece) <= _LONGEST else b""
            if is_stream and kept.endswith((b"\n", b"\r")):
                for line in kept.splitlines():
                    self._keep(page, line.removeprefix(b"data:"))
                kept = b""
            yield piece
        self._keep(page, kept)

    def _keep(self, page: Page, text: bytes) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        result = message.get("result") if isinstance(message, dict) else None
        if isinstance(result, dict) and isinstance(result.get("tools"), list):
            if page not in self._results and len(self._results) >= _MOST:
                del self._results[next(iter(self._results))]
            self._results[page] = result


def page_of(request: Any, message: dict[str, Any] | None) -> Page | None:
    """The page that a request for a list of tools asks for; None for any other request."""
    if message is None or message.get("method") != "tools/list":
        return None
    parameters = message.get("params")
    cursor = parameters.get("cursor") if isinstance(parameters, dict) else None
    return str(request.url), None if cursor is None else str(cursor)
