"""The list of trust delegations, with search and filters. The list marks a new delegation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.audit import counts
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.console.forms import Form
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import search
from authsec_server.delegations.model import (
    UNUSED_FOR,
    DelegationFilters,
    DelegationSort,
    DelegationState,
    TargetType,
    unused,
)
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition

PAGE = 50
SORTS = (
    (DelegationSort.NEWEST, "Newest first"),
    (DelegationSort.OLDEST, "Oldest first"),
    (DelegationSort.ENDS, "Ends first"),
)
UNUSED = "unused"
"""A filter that is chosen like a state: live for a month, and never used."""
E = TypeVar("E", bound=Enum)


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationsQuery:
    """The filters of the list. Unknown values are ignored."""

    filters: DelegationFilters
    role: RoleDefinition | None
    client: Client | None

    @property
    def narrowed(self) -> bool:
        """Whether any filter is set."""
        return self.filters != DelegationFilters()


def routes(console: Console) -> list[BaseRoute]:
    """Return the route of the list."""
    return [console.page("/delegations", listing)]


async def listing(visit: PageRequest) -> Response:
    """Show the list."""
    query, terms = visit.query, visit.console.terms
    sort, cursor = _one_of(DelegationSort, query.text("sort")) or DelegationSort.NEWEST, query.text("cursor")

    def look(tx: Tx) -> dict[str, Any]:
        asked = _asked(tx, query, visit.act.now)
        found, following = search.page(tx, visit.act, terms, asked.filters, sort=sort, after=cursor, limit=PAGE)
        return {
            "asked": asked,
            "rows": found,
            "narrowed": asked.narrowed,
            "following": following,
            "uses": counts.last_uses(tx, [each.delegation.id for each in found]),
        }

    return visit.render(
        "delegations/list.html",
        title="Trust Delegation",
        new=query.text("new"),
        sort=sort,
        cursor=cursor,
        sorts=SORTS,
        state=query.text("state"),
        unused_for=UNUSED_FOR,
        states=[*((each, each.capitalize()) for each in DelegationState), (UNUSED, "Live, never used")],
        target_types=[(each, each) for each in TargetType],
        terms=terms,
        **await visit.read(look),
    )


def _asked(tx: Tx, query: Form, now: datetime) -> DelegationsQuery:
    role, client = roles.find(tx, query.text("role")), clients.find(tx, query.text("client"))
    state = query.text("state")
    filters = replace(
        unused(now) if state == UNUSED else DelegationFilters(state=_one_of(DelegationState, state)),
        text=query.text("q")[:200],
        role_id=role.id if role else None,
        client_id=client.id if client else None,
        target_type=_one_of(TargetType, query.text("target_type")),
    )
    return DelegationsQuery(filters=filters, role=role, client=client)


def _one_of(kind: type[E], text: str) -> E | None:
    return next((each for each in kind if each.value == text), None)
