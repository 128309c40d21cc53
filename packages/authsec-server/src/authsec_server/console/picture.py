"""The page with the delegation diagram: who delegates what to whom, around one owner, role, client, API or group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.apis import service as apis
from authsec_server.clients import service as clients
from authsec_server.console.client_status import statuses_of
from authsec_server.console.delegation_graph import draw, group_of
from authsec_server.console.formatting import duration, listed
from authsec_server.console.issuers.unavailable import outages
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import search as delegations
from authsec_server.delegations.model import DelegationFilters, DelegationState, ResolvedDelegation
from authsec_server.roles import service as roles

AT_MOST = 500  # delegations in one diagram
PAGE = 20  # rows of its table


def routes(console: Console) -> list[BaseRoute]:
    """Return the route of the diagram."""
    return [console.page("/picture", picture)]


async def picture(visit: PageRequest) -> Response:
    """Show the live delegations of one owner, role, client, API or group.

    If the query names none of these, show the newest delegations. `find` is a text that a box must contain.
    """
    silent = await outages(visit)
    begin = min(visit.query.number("cursor"), AT_MOST)

    def look(tx: Tx) -> dict[str, Any]:
        focus, found, more = _focused(tx, visit)
        following = str(begin + PAGE) if len(found) > begin + PAGE else ""
        drawn = diagram(tx, visit, found, silent, rest="#table", grouped=not visit.query.text("group"))
        rows = found[begin : begin + PAGE]
        return {**drawn, "resolved_delegations": rows, "number": len(found), "following": following} | {
            "focus": focus,
            "more": more,
        }

    shown = await visit.read(look)
    around = [(name, visit.query.text(name)) for name in ("owner", "role", "client", "api", "group")]
    return visit.render(
        "dashboard/picture.html",
        title="Delegation diagram",
        cursor=str(begin or ""),
        find=visit.query.text("find"),
        around=[(name, value) for name, value in around if value],
        **shown,
    )


def diagram(
    tx: Tx,
    visit: PageRequest,
    found: Sequence[ResolvedDelegation],
    silent: Mapping[str, str],
    *,
    rest: str,
    grouped: bool = True,
) -> dict[str, Any]:
    """Return the diagram of these delegations, and the content of its table. See `draw`."""
    clients_found = {each.client.id: each.client for each in found}.values()
    statuses = statuses_of(tx, clients_found, visit.act.now, silent, known=found)
    drawn = draw(found, statuses, visit.console.terms.default_audience, now=visit.act.now, rest=rest, grouped=grouped)
    return {"drawn": drawn, "resolved_delegations": found, "statuses": statuses}


@dataclass(frozen=True, slots=True, kw_only=True)
class Focus:
    """The owner, role, client, API or group that the diagram shows."""

    kind: str
    name: str
    path: str = ""


def _focused(tx: Tx, visit: PageRequest) -> tuple[Focus | None, Sequence[ResolvedDelegation], bool]:
    """Return the focus, its delegations, and whether there are more."""
    focus, found, more = _of_query(tx, visit)
    if group := visit.query.text("group"):
        found = [each for each in found if group_of(each.delegation) == group]
        granted = found[0].delegation if found else None
        name = f"{listed(granted.actions)}, {duration(granted.max_duration)}" if granted else ""
        focus = Focus(kind="Identical trust delegations", name=name)
    if text := visit.query.text("find"):
        found = list(_matching(found, text, visit.console.terms.default_audience))
    return focus, found, more


def _of_query(tx: Tx, visit: PageRequest) -> tuple[Focus | None, Sequence[ResolvedDelegation], bool]:
    act, terms, query = visit.act, visit.console.terms, visit.query
    if audience := query.text("api"):
        known = apis.named(tx, act, audience)
        found, more = delegations.live_for(tx, act, terms, known.identifier if known else audience, limit=AT_MOST)
        if known:
            return Focus(kind="API", name=known.name, path=f"/console/apis/{known.slug}"), found, more
        return Focus(kind="Audience without a registered API", name=audience if found else "", path=""), found, more
    focus, filters = _around(tx, visit)
    found, following = delegations.page(tx, act, terms, filters, limit=AT_MOST)
    if following and (text := query.text("find")):  # the older delegations, too
        named, _ = delegations.page(tx, act, terms, replace(filters, text=text), limit=AT_MOST)
        found = list({each.delegation.id: each for each in (*named, *found)}.values())[:AT_MOST]
    if focus and focus.kind == "Owner" and not found:
        focus = replace(focus, name="")  # unknown owner: the page must not repeat a text from the URL
    return focus, found, following is not None


def _around(tx: Tx, visit: PageRequest) -> tuple[Focus | None, DelegationFilters]:
    act, query = visit.act, visit.query
    owner = query.text("owner")
    live = DelegationFilters(state=DelegationState.LIVE, owner=owner)
    if slug := query.text("role"):
        role = roles.get(tx, act, slug)
        return Focus(kind="Role", name=role.name, path=f"/console/roles/{role.slug}"), replace(live, role_id=role.id)
    if slug := query.text("client"):
        client = clients.get(tx, act, slug)
        focus = Focus(kind="Client", name=client.name, path=f"/console/clients/{client.slug}")
        return focus, replace(live, client_id=client.id)
    return (Focus(kind="Owner", name=owner) if owner else None), live


def _matching(found: Sequence[ResolvedDelegation], text: str, default: str) -> Iterator[ResolvedDelegation]:
    wanted = text.casefold()
    for each in found:
        its = each.delegation
        shown = (its.owner, each.role.name, each.client.name, *its.actions, *(its.audiences or (default,)), its.slug)
        if any(wanted in one.casefold() for one in shown):
            yield each
