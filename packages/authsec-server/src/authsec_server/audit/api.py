"""The HTTP operation that lists the audit log: with filters, newest or oldest events first."""

from __future__ import annotations

import re

from authsec_server.audit import service
from authsec_server.audit.filters import AuditLogPage
from authsec_server.audit.query_parameters import PARAMETERS, Names, read_filter
from authsec_server.audit.views import EventShown, as_json
from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.principal import Act
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Parameter, declared, operation
from authsec_server.web.paging import PAGING, Page, read_numbered_page

PATH = f"{API}/events"
_EVENT_NUMBER = re.compile(r"[1-9][0-9]{0,18}")
_ORDERS = ("newest", "oldest")
ORDER = Parameter(
    name="order", description="Order of the events.", schema={"type": "string", "enum": _ORDERS, "default": "newest"}
)


def operations(names: Names) -> list[AnyOperation]:
    """Return the operation that lists events. The cursor of a page is an event number."""

    @operation("GET", PATH, "listEvents", query=(*PAGING, ORDER, *PARAMETERS))
    async def page(call: Call[NoBody]) -> Page[EventShown]:
        """List events.

        A page may be short or empty although more events follow: each request searches only a part of the log.
        """
        number, limit = read_numbered_page(call.request, _EVENT_NUMBER)
        number = None if number is None else min(number, service.MAX_NUMBER)
        oldest_first = _oldest_first(call)
        given = {name: value for name in (each.name for each in PARAMETERS) if (value := call.query(name)) is not None}

        def load(tx: Tx, act: Act) -> AuditLogPage:
            wanted = read_filter(tx, given, names)
            if oldest_first:
                return service.page(tx, act.principal, wanted, after=number or 0, limit=limit)
            return service.page(tx, act.principal, wanted, before=number, limit=limit)

        found = await call.read(load)
        return {
            "items": [as_json(each) for each in found.items],
            "next": None if found.next is None else str(found.next),
        }

    return declared(page)


def _oldest_first(call: Call[NoBody]) -> bool:
    order = call.query("order")
    if order is not None and order not in _ORDERS:
        raise Invalid("order", "order must be `newest` or `oldest`.")
    return order == "oldest"
