"""The audit log as files: JSON Lines and CSV, with the page's filters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

from starlette.concurrency import iterate_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from authsec_server.audit import export
from authsec_server.console import guard
from authsec_server.console.activity import query
from authsec_server.console.site import Console, PageRequest

FORMS = {
    "jsonl": (export.json_lines, "application/jsonl"),
    "csv": (export.csv_lines, "text/csv; charset=utf-8; header=present"),
}


class Download(StreamingResponse):
    """A streaming response that releases the resources in `held`.

    The release happens when the download ends or the client disconnects.
    """

    def __init__(self, content: AsyncIterator[str], held: ExitStack, **options: Any) -> None:
        super().__init__(content, **options)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


def routes(console: Console) -> list[BaseRoute]:
    """Return the download routes."""
    return [console.page("/activity/export.{form}", download)]


async def download(visit: PageRequest) -> Response:
    """Stream all events that match the filter, oldest first.

    Each event is sent as soon as it is read, so the audit log may have any size.
    """
    form = visit.named("form")
    if form not in FORMS:
        raise HTTPException(404)
    lines, media_type = FORMS[form]
    its = await visit.read(lambda tx: query.read(tx, visit.query))
    rows = lines(visit.console.site.database, visit.act.principal, its.wanted)
    name = f"authsec-events-{visit.act.now:%Y%m%dT%H%M%SZ}.{form}"
    headers = dict(guard.HEADERS) | {"Content-Disposition": f'attachment; filename="{name}"'}
    held = ExitStack()
    held.enter_context(visit.console.downloads.one(visit.act.principal.id))
    return Download(iterate_in_threadpool(rows), held, media_type=media_type, headers=headers)
