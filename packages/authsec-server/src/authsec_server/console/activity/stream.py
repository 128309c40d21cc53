"""The live audit log as server-sent events (HTML Living Standard, section 9.2).

Each server-sent event is a rendered table row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import anyio
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from authsec_server.audit.live import Watcher
from authsec_server.audit.model import Recorded
from authsec_server.console import guard
from authsec_server.console.activity import query, text
from authsec_server.console.addresses import ACTIVITY_STREAM
from authsec_server.console.site import Console, PageRequest
from authsec_server.failures import Unavailable
from authsec_server.web.errors import Unauthenticated
from authsec_server.web.sse import message

HEARTBEAT_SECONDS = 15
CHECK_EVERY = timedelta(seconds=HEARTBEAT_SECONDS)  # so soon somebody whose session has run out sees no more
MAY_SHUT_OUT = query.GROUPS["administration"][1]  # and at once, where these say that it was ended


def routes(console: Console) -> list[BaseRoute]:
    """Return the route of the stream."""
    return [console.page(ACTIVITY_STREAM.removeprefix("/console"), stream)]


async def stream(visit: PageRequest) -> Response:
    """Stream new events that match the query's filter.

    The stream ends at once if too many people watch, or if the server is about to stop.
    """
    asked = await visit.read(lambda tx: query.read(tx, visit.query))
    last = visit.request.headers.get("last-event-id") or visit.query.text("after")
    after = int(last) if last.isascii() and last.isdigit() and len(last) <= 18 else 0
    return StreamingResponse(
        _lines(visit, asked, after),
        media_type="text/event-stream",
        headers=dict(guard.HEADERS) | {"X-Accel-Buffering": "no"},  # no proxy shall keep events back
    )


async def _lines(visit: PageRequest, asked: query.ActivityQuery, after: int) -> AsyncIterator[str]:
    try:
        with visit.console.live.watch(after=after) as watcher:
            yield ": watching\n\n"
            async for recorded in _while_signed_in(visit, watcher):
                if recorded is None:
                    yield ": still here\n\n"
                elif asked.wanted.matches(recorded.event):
                    row = visit.part("activity/row.html", recorded=recorded, stories=text, fresh=True)
                    yield message(row, number=recorded.id)
            yield message("", kind="lagging" if watcher.lagging else "ended")
    except Unavailable:
        yield message("", kind="ended")


async def _while_signed_in(visit: PageRequest, watcher: Watcher) -> AsyncIterator[Recorded | None]:
    """Yield the events, and None as a heartbeat. Stop when the stream or the person's session ends."""
    checked = visit.console.site.now()
    while True:
        recorded = None
        try:
            with anyio.move_on_after(HEARTBEAT_SECONDS):  # nothing is yielded inside: a generator must not hold a scope
                recorded = await anext(watcher)
        except StopAsyncIteration:
            return  # the audit log ends with the server
        ends = recorded is not None and recorded.event.kind in MAY_SHUT_OUT
        if ends or recorded is None or visit.console.site.now() - checked > CHECK_EVERY:
            if not await _is_signed_in(visit):
                return
            checked = visit.console.site.now()
        yield recorded


async def _is_signed_in(visit: PageRequest) -> bool:
    """Whether the session is still valid. A person without a valid session must not receive further events."""
    confirm = visit.console.site.authenticate.confirm
    try:
        await visit.read(lambda tx: confirm(tx, visit.act.principal))
    except Unauthenticated:
        return False  # the session has ended, and the stream ends for that
    return True
