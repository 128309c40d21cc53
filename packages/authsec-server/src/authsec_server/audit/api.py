"""The journal over HTTP, newest first."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.audit import service
from authsec_server.audit.export import as_json
from authsec_server.failures import Invalid
from authsec_server.web.bodies import query_value
from authsec_server.web.paging import page_answer, read_page
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/events"
_EVENT_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


def routes(site: Site) -> list[Route]:
    """The routes of this room. A page's cursor is the number of its last event; `request_id` finds one request."""

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, lambda cursor: _EVENT_NUMBER.fullmatch(cursor) is not None)
        request_id = _request_id(request)
        before = int(asked.after) if asked.after else None
        found = await site.read(
            lambda tx: service.newest(tx, act.principal, before=before, limit=asked.limit + 1, request_id=request_id)
        )
        shown = found[: asked.limit]
        return page_answer(map(as_json, shown), str(shown[-1].id) if len(found) > len(shown) else None)

    return [Route(PATH, page, methods=["GET"])]


def _request_id(request: Request) -> str | None:
    value = query_value(request, "request_id")
    if value is not None and not _REQUEST_ID.fullmatch(value):
        raise Invalid("request_id", "This is not a request id.", "Copy it from an answer: req_…")
    return value
