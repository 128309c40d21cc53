"""The journal over HTTP, newest first."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server import naming
from authsec_server.audit import service
from authsec_server.audit.export import as_json
from authsec_server.audit.filters import EventFilter
from authsec_server.failures import Invalid
from authsec_server.web.bodies import query_value
from authsec_server.web.paging import page_answer, read_page
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/events"
_EVENT_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,40}")  # what a request id, a jti and a reason look like


def routes(site: Site) -> list[Route]:
    """The routes of this room. A page's cursor is a number of an event; a page may be short though others follow."""

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, lambda cursor: _EVENT_NUMBER.fullmatch(cursor) is not None)
        wanted, before = _wanted(request), int(asked.after) if asked.after else None
        found = await site.read(
            lambda tx: service.page(tx, act.principal, wanted, before=before, limit=asked.limit),
        )
        return page_answer(map(as_json, found.items), None if found.next is None else str(found.next))

    return [Route(PATH, page, methods=["GET"])]


def _wanted(request: Request) -> EventFilter:
    """Of one request, one token, one agent, one reason: what is given of these."""
    client_id = query_value(request, "client_id")
    if client_id is not None and not naming.is_uuid(client_id):
        raise Invalid("client_id", "This is not a client_id.", "Copy it from `authsec agents list`.")
    return EventFilter(
        client_id=client_id or "",
        request_id=_word(request, "request_id", "a request id", "Copy it from an answer: req_…"),
        jti=_word(request, "jti", "a jti", "Copy it from the token, or from another event."),
        reason=_word(request, "reason", "a reason", "Copy it from an answer, as attestation_required."),
    )


def _word(request: Request, name: str, what: str, remedy: str) -> str:
    value = query_value(request, name)
    if value is not None and not _WORD.fullmatch(value):
        raise Invalid(name, f"This is not {what}.", remedy)
    return value or ""
