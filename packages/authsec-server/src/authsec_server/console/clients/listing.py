"""The list of clients, with search, filters, sorting and pages; disable the selected clients at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from starlette.responses import Response

from authsec_server import naming
from authsec_server.audit import counts
from authsec_server.clients import search
from authsec_server.clients import service as clients
from authsec_server.clients.model import Attention, Client, ClientKind, Platform
from authsec_server.clients.search import ClientFilters, ClientSort, Count
from authsec_server.console.clients.client_lookup import LIST_TRAIL
from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.forms import Form
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact
from authsec_server.delegations import search as delegations
from authsec_server.delegations.model import Uses

TITLE = "MCP Servers / AI Agents"
PAGE = 50
STATUSES = {"enabled": True, "disabled": False}
ATTENTION = {
    Attention.UNATTESTED: "Unattested",
    Attention.CANNOT_PROVE: "Cannot authenticate yet",
    Attention.SECRET: "Weak: a secret",
    Attention.ENROLLED: "On a laptop",
}
ORDERS = {f"{turn}{sort}": (sort, bool(turn)) for sort in ClientSort for turn in ("", "-")}

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One page of clients, with the delegations and the last token of each client."""

    clients: list[Client]
    following: str | None
    count: Count
    owners: list[str]
    uses: Mapping[str, Uses]
    last_tokens: Mapping[str, datetime]


async def listing(visit: PageRequest) -> Response:
    """Show the list of clients."""
    return visit.render("clients/list.html", title=TITLE, **await list_context(visit, visit.query))


async def list_context(visit: PageRequest, query: Form | None = None) -> dict[str, Any]:
    """Return the context of the list's template. Without a query, the context has the first page of all clients."""
    asked = query or Form()
    filters, order, cursor = read_filters(asked), asked.text("sort"), asked.text("cursor")
    sort, descending = ORDERS.get(order, (ClientSort.NAME, False))
    listed = await visit.read(lambda tx: _listed(tx, visit, filters, sort, descending, cursor))
    return {
        "listed": listed,
        "rows": listed.clients,
        "following": listed.following,
        "filters": filters,
        "narrowed": filters != ClientFilters(),
        "sort": order if order in ORDERS else ClientSort.NAME.value,
        "cursor": cursor,
        "attention": ATTENTION,
    }


def read_filters(query: Form) -> ClientFilters:
    """Read the filters of the query string. Unknown values are ignored."""
    return ClientFilters(
        text=query.text("text"),
        kind=_choice(ClientKind, query.text("kind")),
        platform=_choice(Platform, query.text("platform")),
        enabled=STATUSES.get(query.text("status")),
        owner=query.text("owner"),
        label=query.text("label"),
        attention=_choice(Attention, query.text("attention")),
    )


def _listed(
    tx: Tx, visit: PageRequest, filters: ClientFilters, sort: ClientSort, descending: bool, cursor: str
) -> Listed:
    act = visit.act
    found, following = search.page_of(tx, act, filters, sort=sort, descending=descending, cursor=cursor, limit=PAGE)
    all_of_them = not cursor and following is None
    ids = [client.id for client in found]
    return Listed(
        clients=found,
        following=following,
        count=Count(number=len(found), capped=False) if all_of_them else search.count(tx, act, filters),
        owners=search.owners(tx, act),
        uses=delegations.held_by(tx, ids, act.now),
        last_tokens=counts.last_tokens(tx, ids),
    )


def _choice(kind: type[Choice], text: str) -> Choice | None:
    return kind(text) if text in set(kind) else None


def _look(tx: Tx, visit: PageRequest) -> Question:
    """Return the confirmation question about the selected clients.

    The question lists the clients to disable and the clients that are disabled already. It also has the number
    of selected clients that were deleted.
    """
    asked = [each for each in dict.fromkeys(visit.sent.all("client")) if naming.is_uuid(each)][: clients.MAX_AT_ONCE]
    known = clients.by_ids(tx, asked)
    ordered = sorted(known.values(), key=lambda client: (naming.folded(client.name), client.id))
    enabled = [client for client in ordered if client.enabled]
    ids = [client.id for client in enabled]
    uses = delegations.held_by(tx, ids, visit.act.now)
    return Question(
        trail=LIST_TRAIL,
        possible=bool(enabled),
        shown={
            "enabled": enabled,
            "already": [client for client in ordered if not client.enabled],
            "gone": len(asked) - len(known),
            "uses": uses,
            "live": sum(each.live for each in uses.values()),
            "stops": impact.of_clients(tx, visit.act, ids, visit.console.terms),
        },
    )


DISABLE = Confirmation(
    path="/clients/disable",
    template="clients/disable_many.html",
    heading="Disable these clients?",
    button="Disable",
    look=_look,
    change=once(lambda tx, act, visit: clients.disable_many(tx, act, visit.form.all("client"))),
    after=redirect_to("/console/clients", done="clients_disabled"),
)
