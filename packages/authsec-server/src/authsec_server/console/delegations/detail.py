"""One trust delegation: what it grants now, what it was used for, and the tokens minted under it."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.apis import service as apis
from authsec_server.audit import counts
from authsec_server.audit import service as audit
from authsec_server.console.delegations.foreseen import foreseen
from authsec_server.console.delegations.offers import USED_WITHIN
from authsec_server.console.site import Console, Visit
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.effective import effective
from authsec_server.delegations.model import OVER, DelegationState, Standing, title
from authsec_server.tokens.revocation import revoked

TOKENS = 10  # of a page


def routes(console: Console) -> list[BaseRoute]:
    """The page."""
    return [console.page("/delegations/{delegation}", detail)]


async def detail(visit: Visit) -> Response:
    """All there is to know about it."""
    before = visit.query.number("before") or None

    def look(tx: Tx) -> dict[str, Any]:
        standing = delegations.get(tx, visit.act, visit.request.path_params["delegation"], visit.console.terms)
        its = standing.delegation
        minted = audit.minted_under(tx, visit.act.principal, its.client_id, its.id, before=before, limit=TOKENS)
        return {
            "standing": standing,
            "dormant": _dormant(tx, visit, standing),
            "meanings": apis.describing(tx, visit.act, its.actions),
            "used": counts.actions_used(tx, [its.id], visit.act.now - USED_WITHIN),
            "use": counts.last_uses(tx, [its.id]).get(its.id),
            "minted": minted,
            "revoked": revoked(tx, minted.items),
            "foreseen": foreseen(tx, visit, standing) if standing.state is DelegationState.LIVE else None,
        }

    seen = await visit.read(look)
    standing = seen["standing"]
    return visit.render(
        "delegations/detail.html",
        title=title(standing.role.name, standing.client.name),
        over=standing.state in OVER,
        before=before,
        terms=visit.console.terms,
        **seen,
    )


def _dormant(tx: Tx, visit: Visit, standing: Standing) -> set[str]:
    """The actions that it allows and that no token carries, since the role no longer holds them."""
    held = effective(tx, visit.act, standing.client.id, visit.console.terms)
    return {each.action for each in held if each.dormant and each.delegation.id == standing.delegation.id}
