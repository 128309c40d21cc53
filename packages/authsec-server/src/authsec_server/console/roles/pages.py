"""The list of roles, and the page of one role: its actions, their meaning, and the clients that have the role."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.apis import service as apis
from authsec_server.audit import counts
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import search as delegations
from authsec_server.delegations.model import DelegationFilters, DelegationState
from authsec_server.roles import service as roles

PAGE = 50
HOLDERS = 20  # shown on the role's page; the rest is on the dashboard of delegations
USED_WITHIN = timedelta(days=30)


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the list and of one role."""
    return [console.page("/roles", listing), console.page("/roles/{role}", detail)]


async def listing(visit: PageRequest) -> Response:
    """List the roles, or those that match the search."""
    text, after = visit.query.text("q")[:200], visit.query.text("cursor")

    def look(tx: Tx) -> dict[str, Any]:
        found, following = roles.page(tx, visit.act, text=text, after=after, limit=PAGE)
        uses = delegations.using(tx, [role.id for role in found], visit.act.now)
        return {"rows": found, "following": following, "uses": uses}

    seen = await visit.read(look)
    return visit.render("roles/list.html", title="Roles & Actions", narrowed=text, cursor=after, **seen)


async def detail(visit: PageRequest) -> Response:
    """Show one role."""

    def look(tx: Tx) -> dict[str, Any]:
        role = roles.get(tx, visit.act, visit.named("role"))
        live = DelegationFilters(role_id=role.id, state=DelegationState.LIVE)
        held, following = delegations.page(tx, visit.act, visit.console.terms, live, limit=HOLDERS)
        return {
            "role": role,
            "held": held,
            "more": following is not None,
            "uses": delegations.using(tx, [role.id], visit.act.now)[role.id],
            "meanings": apis.describing(tx, visit.act, role.actions),
            "used": counts.actions_used(tx, [role.id], visit.act.now - USED_WITHIN),
            "last_uses": counts.last_uses(tx, [each.delegation.id for each in held]),
        }

    seen = await visit.read(look)
    return visit.render("roles/detail.html", title=seen["role"].name, **seen)
