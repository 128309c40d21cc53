"""The dashboard, and the picture of authority by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.apis import service as apis
from authsec_server.audit import counts
from authsec_server.clients import lists as clients
from authsec_server.clients import service as clients_service
from authsec_server.clients.filters import Filters as ClientFilters
from authsec_server.console.activity.pages import chart_of
from authsec_server.console.dashboard.attention import matters
from authsec_server.console.dashboard.picture import draw
from authsec_server.console.site import Console, Visit
from authsec_server.db import Tx
from authsec_server.delegations import listing as delegations
from authsec_server.delegations.filters import Filters
from authsec_server.delegations.model import DelegationState, Standing
from authsec_server.roles import service as roles

HOURS = 48
IN_THE_PICTURE = 12
IN_ITS_OWN_PICTURE = 40


def routes(console: Console) -> list[BaseRoute]:
    """The pages."""
    return [console.page("", dashboard), console.page("/picture", picture)]


async def dashboard(visit: Visit) -> Response:
    """What is going on; on an empty server, the two steps to the first token."""
    found = await visit.read(lambda tx: _dashboard(tx, visit))
    return visit.render("dashboard/show.html", title="Dashboard", **found)


async def picture(visit: Visit) -> Response:
    """Who may do what on whose behalf, around one owner, role, client or API; else the newest."""
    focus, standings, more = await visit.read(lambda tx: _focused(tx, visit))
    drawn = draw(standings, visit.console.terms.default_audience, visit.act.now)
    return visit.render(
        "dashboard/picture.html", title="Picture of authority", focus=focus, standings=standings, drawn=drawn, more=more
    )


def _dashboard(tx: Tx, visit: Visit) -> dict[str, Any]:
    act, now, terms = visit.act, visit.act.now, visit.console.terms
    day = now - timedelta(days=1)
    points = counts.series(tx, now - timedelta(hours=HOURS), now, timedelta(hours=1))
    live, more = delegations.page(tx, act, terms, Filters(state=DelegationState.LIVE), limit=IN_THE_PICTURE)
    return {
        "clients": clients.count(tx, act, ClientFilters()),
        "tally": delegations.tally(tx, act, now),
        "totals": counts.totals(tx, day, now),
        "points": points,
        "chart": chart_of(points),
        "reasons": counts.refusals_by_reason(tx, day, now),
        "matters": matters(tx, visit),
        "standings": live,
        "more": more is not None,
        "drawn": draw(live, terms.default_audience, now),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Focus:
    """What the picture is about."""

    kind: str
    name: str
    path: str


def _focused(tx: Tx, visit: Visit) -> tuple[Focus | None, Sequence[Standing], bool]:
    act, query = visit.act, visit.query
    focus: Focus | None = None
    filters = Filters(state=DelegationState.LIVE)
    if slug := query.text("role"):
        role = roles.get(tx, act, slug)
        focus = Focus(kind="Role", name=role.name, path=f"/console/roles/{role.slug}")
        filters = Filters(state=DelegationState.LIVE, role_id=role.id)
    elif slug := query.text("client"):
        client = clients_service.get(tx, act, slug)
        focus = Focus(kind="Client", name=client.name, path=f"/console/clients/{client.slug}")
        filters = Filters(state=DelegationState.LIVE, client_id=client.id)
    elif audience := query.text("api"):
        known = apis.named(tx, act, audience)
        path = f"/console/apis/{known.slug}" if known else "/console/apis"
        focus = Focus(kind="API", name=known.name if known else "an audience that no API has", path=path)
        filters = Filters(state=DelegationState.LIVE, audience=audience)
    elif owner := query.text("owner"):
        focus = Focus(kind="Owner", name="", path="")
        filters = Filters(state=DelegationState.LIVE, owner=owner)
    found, more = delegations.page(tx, act, visit.console.terms, filters, limit=IN_ITS_OWN_PICTURE)
    return focus, found, more is not None
