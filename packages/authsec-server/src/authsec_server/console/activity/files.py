"""The audit trail as files: JSON Lines and CSV, with the page's filters."""

from __future__ import annotations

from starlette.concurrency import iterate_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from authsec_server.audit import export
from authsec_server.console import guard
from authsec_server.console.activity import asked
from authsec_server.console.site import Console, Visit

FORMS = {
    "jsonl": (export.json_lines, "application/jsonl"),
    "csv": (export.csv_lines, "text/csv; charset=utf-8; header=present"),
}


def routes(console: Console) -> list[BaseRoute]:
    """The downloads."""
    return [console.page("/activity/export.{form}", download)]


async def download(visit: Visit) -> Response:
    """Everything that meets the filter, oldest first, as it is read: no size is too large."""
    form = visit.request.path_params["form"]
    if form not in FORMS:
        raise HTTPException(404)
    lines, media_type = FORMS[form]
    its = await visit.read(lambda tx: asked.read(tx, visit.query))
    rows = lines(visit.console.site.database, visit.act.principal, its.wanted)
    name = f"authsec-events-{visit.act.now:%Y%m%dT%H%M%SZ}.{form}"
    headers = dict(guard.HEADERS) | {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(iterate_in_threadpool(rows), media_type=media_type, headers=headers)
