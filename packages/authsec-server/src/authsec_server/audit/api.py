"""The journal over HTTP: filtered, newest or oldest first."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.audit import service
from authsec_server.audit.asking import PARAMETERS, Names, read_filter
from authsec_server.audit.export import as_json
from authsec_server.audit.filters import JournalPage
from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.principal import Principal
from authsec_server.web.bodies import query_value
from authsec_server.web.paging import PageRequest, page_answer, read_page
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/events"
_EVENT_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


def routes(site: Site, names: Names) -> list[Route]:
    """The routes of this room. A page's cursor is a number of an event; a page may be short though others follow."""

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, lambda cursor: _EVENT_NUMBER.fullmatch(cursor) is not None)
        oldest_first = _oldest_first(request)
        given = {name: value for name in PARAMETERS if (value := query_value(request, name)) is not None}
        found = await site.read(lambda tx: _page(tx, act.principal, given, names, asked, oldest_first=oldest_first))
        return page_answer(map(as_json, found.items), None if found.next is None else str(found.next))

    return [Route(PATH, page, methods=["GET"])]


def _page(
    tx: Tx, principal: Principal, given: dict[str, str], names: Names, asked: PageRequest, *, oldest_first: bool
) -> JournalPage:
    wanted = read_filter(tx, given, names)
    number = int(asked.after) if asked.after else None
    if oldest_first:
        return service.page(tx, principal, wanted, after=number or 0, limit=asked.limit)
    return service.page(tx, principal, wanted, before=number, limit=asked.limit)


def _oldest_first(request: Request) -> bool:
    order = query_value(request, "order")
    if order not in {None, "newest", "oldest"}:
        raise Invalid("order", "Events come `newest` or `oldest` first.")
    return order == "oldest"
