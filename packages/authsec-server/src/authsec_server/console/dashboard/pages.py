"""The dashboard page and the page with the delegation diagram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.apis import service as apis
from authsec_server.audit import counts
from authsec_server.clients import search as clients
from authsec_server.clients import service as clients_service
from authsec_server.clients.model import Attention
from authsec_server.clients.search import ClientFilters
from authsec_server.console.dashboard.alerts import find_alerts
from authsec_server.console.dashboard.graph import draw
from authsec_server.console.issuers.unavailable import UnavailableIssuer, unavailable_issuers
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import search as delegations
from authsec_server.delegations.model import DelegationFilters, DelegationState, ResolvedDelegation
from authsec_server.issuers import service as issuers
from authsec_server.roles import service as roles

HOURS = 48
IN_THE_PICTURE = 12
IN_ITS_OWN_PICTURE = 40


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the dashboard and of the picture."""
    return [console.page("", dashboard), console.page("/picture", picture)]


async def dashboard(visit: PageRequest) -> Response:
    """Show the current activity. On an empty server, show the two steps to the first token."""
    silent = await unavailable_issuers(visit)
    found = await visit.read(lambda tx: _dashboard(tx, visit, silent))
    return visit.render("dashboard/show.html", title="Dashboard", **found)


async def picture(visit: PageRequest) -> Response:
    """Show the live delegations of one owner, role, client or API.

    If the query names none of these, show the newest delegations.
    """
    focus, resolved_delegations, more = await visit.read(lambda tx: _focused(tx, visit))
    drawn = draw(resolved_delegations, visit.console.terms.default_audience, visit.act.now)
    return visit.render(
        "dashboard/picture.html",
        title="Delegation diagram",
        focus=focus,
        resolved_delegations=resolved_delegations,
        drawn=drawn,
        more=more,
    )


def _dashboard(tx: Tx, visit: PageRequest, silent: Sequence[UnavailableIssuer]) -> dict[str, Any]:
    act, now, terms = visit.act, visit.act.now, visit.console.terms
    day = now - timedelta(days=1)
    live, more = delegations.page(tx, act, terms, DelegationFilters(state=DelegationState.LIVE), limit=IN_THE_PICTURE)
    return {
        "clients": clients.count(tx, act, ClientFilters()),
        "tally": delegations.tally(tx, act, now),
        "totals": counts.totals(tx, day, now),
        "points": counts.series(tx, now - timedelta(hours=HOURS), now, timedelta(hours=1)),
        "hours": HOURS,
        "reasons": counts.refusals_by_reason(tx, day, now),
        "alerts": find_alerts(tx, visit, silent),
        "resolved_delegations": live,
        "more": more is not None,
        "without_issuer": _without_issuer(tx, visit),
        "drawn": draw(live, terms.default_audience, now),
    }


def _without_issuer(tx: Tx, visit: PageRequest) -> bool:
    """Whether some clients cannot authenticate, and no trusted issuer is registered."""
    waiting = ClientFilters(attention=Attention.CANNOT_PROVE, enabled=True)
    return clients.count(tx, visit.act, waiting).number > 0 and not issuers.page(tx, visit.act, limit=1)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Focus:
    """The owner, role, client or API that the picture shows."""

    kind: str
    name: str
    path: str


def _focused(tx: Tx, visit: PageRequest) -> tuple[Focus | None, Sequence[ResolvedDelegation], bool]:
    act, terms, query = visit.act, visit.console.terms, visit.query
    if audience := query.text("api"):
        known = apis.named(tx, act, audience)
        found, more = delegations.live_for(
            tx, act, terms, known.identifier if known else audience, limit=IN_ITS_OWN_PICTURE
        )
        name, path = (
            (known.name, f"/console/apis/{known.slug}") if known else ("an audience without a registered API", "")
        )
        return Focus(kind="API", name=name, path=path), found, more
    focus, filters = _around(tx, visit)
    found, following = delegations.page(tx, act, terms, filters, limit=IN_ITS_OWN_PICTURE)
    if focus and focus.kind == "Owner" and not found:
        focus = replace(focus, name="")  # nobody is called so: what an address says is not said again
    return focus, found, following is not None


def _around(tx: Tx, visit: PageRequest) -> tuple[Focus | None, DelegationFilters]:
    act, query = visit.act, visit.query
    live = DelegationFilters(state=DelegationState.LIVE)
    if slug := query.text("role"):
        role = roles.get(tx, act, slug)
        return Focus(kind="Role", name=role.name, path=f"/console/roles/{role.slug}"), replace(live, role_id=role.id)
    if slug := query.text("client"):
        client = clients_service.get(tx, act, slug)
        focus = Focus(kind="Client", name=client.name, path=f"/console/clients/{client.slug}")
        return focus, replace(live, client_id=client.id)
    if owner := query.text("owner"):
        return Focus(kind="Owner", name=owner, path=""), replace(live, owner=owner)
    return None, live
