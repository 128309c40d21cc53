"""The dashboard: current activity, alerts, and the diagram of the newest trust delegations.

Each alert has one sentence and one link; the data comes from the domain packages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.audit import counts
from authsec_server.audit.counts import Totals
from authsec_server.audit.sealing import service as sealing
from authsec_server.clients import bindings
from authsec_server.clients import search as clients
from authsec_server.clients import service as clients_service
from authsec_server.clients.model import Attention
from authsec_server.clients.search import ClientFilters, ClientSort, Count
from authsec_server.console.client_status import WARNINGS, status_of
from authsec_server.console.clients.detail import ahead_of, home
from authsec_server.console.clients.next_step import UNREGISTERED
from authsec_server.console.delegation_graph import PICTURE
from authsec_server.console.formatting import plural
from authsec_server.console.issuers.unavailable import UnavailableIssuer, outages_among, unavailable_issuers
from authsec_server.console.picture import diagram
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import search as delegations
from authsec_server.delegations.client_state import ClientState
from authsec_server.delegations.model import (
    UNUSED_FOR,
    DelegationFilters,
    DelegationSort,
    DelegationState,
    title,
    unused,
)

HOURS = 48
IN_THE_PICTURE = 12


def routes(console: Console) -> list[BaseRoute]:
    """Return the route of the dashboard."""
    return [console.page("", dashboard)]


async def dashboard(visit: PageRequest) -> Response:
    """Show the current activity. Until the first token, show the steps of the newest client."""
    silent = await unavailable_issuers(visit)
    found = await visit.read(lambda tx: _dashboard(tx, visit, silent))
    return visit.render("dashboard/show.html", title="Dashboard", **found)


def _dashboard(tx: Tx, visit: PageRequest, silent: Sequence[UnavailableIssuer]) -> dict[str, Any]:
    act, now, terms = visit.act, visit.act.now, visit.console.terms
    day = now - timedelta(days=1)
    live, more = delegations.page(tx, act, terms, DelegationFilters(state=DelegationState.LIVE), limit=IN_THE_PICTURE)
    unable = clients.count(tx, act, ClientFilters(enabled=True, can_authenticate=False))
    totals = counts.totals(tx, day, now)
    return {
        "clients": clients.count(tx, act, ClientFilters()),
        "tally": delegations.tally(tx, act, now),
        "totals": totals,
        "points": counts.series(tx, now - timedelta(hours=HOURS), now, timedelta(hours=1)),
        "hours": HOURS,
        "reasons": counts.refusals_by_reason(tx, day, now),
        "alerts": find_alerts(tx, visit, silent, unable),
        "more": more is not None,
        **_first_steps(tx, visit, totals, outages_among(silent)),
        **diagram(tx, visit, live, outages_among(silent), rest=PICTURE),
    }


def _first_steps(tx: Tx, visit: PageRequest, totals: Totals, silent: Mapping[str, str]) -> dict[str, Any]:
    """Until the first token of this authority, return the checklist of the newest enabled client."""
    if totals.issued or counts.is_any_used(tx):
        return {"first_steps": False}
    enabled = ClientFilters(enabled=True)
    newest, _ = clients.page_of(tx, visit.act, enabled, sort=ClientSort.CREATED, descending=True, limit=1)
    if not newest:
        return {"first_steps": True, "ahead": None, "unregistered": UNREGISTERED}
    status = status_of(tx, newest[0], visit.act.now, silent)
    return {"first_steps": True, "ahead": ahead_of(tx, visit, newest[0], status), "home": home(newest[0])}


SOON = timedelta(days=7)
LOOKED_AT = 200
REPEATED = 10
_REFUSED = 200  # clients with repeated refusals that are looked up

_WARNING = "/console/clients?status=enabled&warning="
_WEAK = {
    Attention.SECRET: "Anybody who has read the secret can use it until it is rotated.",
    Attention.ENROLLED: "An enrolled laptop can act as the agent for some hours.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. `tone` is `bad` or `warn`."""

    tone: str
    text: str
    path: str
    more: str = ""
    mend: tuple[str, str] | None = None  # the label and the path of the link to the remedy


def find_alerts(tx: Tx, visit: PageRequest, silent: Sequence[UnavailableIssuer], unable: Count) -> list[Alert]:
    """Return the alerts, the most severe first.

    `silent` are the trusted issuers that are unavailable. `unable` is the number of enabled clients that cannot
    authenticate.
    """
    return [
        *_sealing(tx, visit),
        *_outages(tx, visit, silent),
        *_clients(tx, visit, unable),
        *_undelegated(tx, visit),
        *_without_effect(tx, visit),
        *_weak(tx, visit),
        *_refusals(tx, visit),
        *_ending(tx, visit),
        *_audiences(tx, visit),
        *_unused(tx, visit),
    ]


def _sealing(tx: Tx, visit: PageRequest) -> Iterator[Alert]:
    if sealing.sealing_status(tx, visit.act.principal, visit.act.now).is_overdue:
        yield Alert(
            tone="bad",
            text="New events of the audit log are not sealed",
            path="/console/activity",
            more="No server is sealing, or the log is damaged. Run `authsec audit verify` on the server's machine.",
        )


def _outages(tx: Tx, visit: PageRequest, silent: Sequence[UnavailableIssuer]) -> Iterator[Alert]:
    for each in silent:
        resting = bindings.users_of(tx, visit.act, each.trusted_issuer).clients
        if resting:
            yield Alert(
                tone="bad",
                text=f"{each.what}: {plural(resting, 'client')} that {'depends' if resting == 1 else 'depend'} on it "
                f"{'gets' if resting == 1 else 'get'} 503{' if a pod look-up is needed' if each.some else ''}",
                path=f"/console/issuers/{each.trusted_issuer.slug}",
                more=f"This server reports: {each.failure or 'the last fetched keys are more than 24 hours old'}.",
            )


def _clients(tx: Tx, visit: PageRequest, unable: Count) -> Iterator[Alert]:
    unattested = clients.count(tx, visit.act, ClientFilters(attention=Attention.UNATTESTED, enabled=True))
    if unattested.number:
        yield Alert(
            tone="bad",
            text=_in_words(unattested, WARNINGS[Attention.UNATTESTED]),
            path=f"{_WARNING}{Attention.UNATTESTED}",
            more="Anybody who knows the Client ID of such a client can authenticate as the client.",
        )
    if unable.number:
        yield Alert(
            tone="warn",
            text=_in_words(unable, ClientState.UNPROVED.shown),
            path=f"/console/clients?state={ClientState.UNPROVED}",
            more="Without a trusted issuer or a key pair, a client gets no token.",
        )


def _undelegated(tx: Tx, visit: PageRequest) -> Iterator[Alert]:
    """Warn about clients that can authenticate, and that no live delegation gives a token."""
    able = ClientFilters(enabled=True, can_authenticate=True)
    newest, more = clients.page_of(tx, visit.act, able, sort=ClientSort.CREATED, descending=True, limit=LOOKED_AT)
    states = delegations.states_of(tx, newest, visit.act.now)
    number = sum(state is ClientState.UNDELEGATED for state in states.values())
    if number:
        found = Count(number=number, capped=more is not None)
        yield Alert(
            tone="warn",
            text=_in_words(found, ClientState.UNDELEGATED.shown),
            path=f"/console/clients?state={ClientState.UNDELEGATED}",
            more="No live trust delegation gives such a client an action, so it gets no token.",
        )


def _without_effect(tx: Tx, visit: PageRequest) -> Iterator[Alert]:
    """Warn about live delegations that grant their client nothing."""
    live, more = delegations.page(
        tx, visit.act, visit.console.terms, DelegationFilters(state=DelegationState.LIVE), limit=LOOKED_AT
    )
    idle = [each for each in live if each.grants_nothing(visit.act.now)]
    if idle:
        newest = idle[0]
        yield Alert(
            tone="warn",
            text=f"{'At least ' if more else ''}{plural(len(idle), 'live trust delegation')} "
            f"{'grants' if len(idle) == 1 else 'grant'} nothing",
            path=f"/console/delegations/{newest.delegation.id}",
            more=f"{'The newest: ' if len(idle) > 1 else ''}{title(newest.role.name, newest.client.name)}. "
            f"{newest.reason(visit.act.now)}",
        )


def _weak(tx: Tx, visit: PageRequest) -> Iterator[Alert]:
    for attention, more in _WEAK.items():
        found = clients.count(tx, visit.act, ClientFilters(attention=attention, enabled=True))
        if found.number:
            text = _in_words(found, WARNINGS[attention])
            yield Alert(tone="warn", text=text, path=f"{_WARNING}{attention}", more=more)


def _in_words(found: Count, word: str) -> str:
    return f"{found} {'client' if found.number == 1 else 'clients'}: {word}"


def _refusals(tx: Tx, visit: PageRequest) -> Iterator[Alert]:
    repeated = counts.repeated_refusals(tx, visit.act.now - timedelta(days=1), REPEATED, limit=_REFUSED)
    named = clients_service.by_ids(tx, [each.client_id for each in repeated])
    there = (each for each in repeated if each.client_id in named)  # programs of deleted clients may ask on
    for each in islice(there, 4):
        client = named[each.client_id]
        yield Alert(
            tone="warn",
            text=f"{client.name} was refused {plural(each.count, 'time')} in a day: {each.reason}",
            path=f"/console/clients/{client.slug}",
        )


def _ending(tx: Tx, visit: PageRequest) -> Iterator[Alert]:
    soon = DelegationFilters(state=DelegationState.LIVE, ends_before=visit.act.now + SOON)
    first, _ = delegations.page(tx, visit.act, visit.console.terms, soon, sort=DelegationSort.ENDS, limit=1)
    if first:
        number = delegations.count(tx, visit.act, soon, most=LOOKED_AT + 1)
        many = plural(min(number, LOOKED_AT), "trust delegation")
        yield Alert(
            tone="warn",
            text=f"{'More than ' if number > LOOKED_AT else ''}{many} will end within 7 days",
            path="/console/delegations?sort=ends&state=live",
            more=f"The first: {first[0].role.name} → {first[0].client.name}",
        )


def _audiences(tx: Tx, visit: PageRequest) -> Iterator[Alert]:
    default = visit.console.terms.default_audience
    shared = delegations.sharing(tx, visit.act, visit.console.terms)
    if shared:
        yield Alert(
            tone="warn",
            text=f"{plural(shared, 'live trust delegation')} for the shared audience {default}",
            path=f"/console/picture?{urlencode({'api': default})}",
            more="APIs that share an audience can use each other's tokens.",
            mend=_name_an_api(tx, visit, default),
        )


def _name_an_api(tx: Tx, visit: PageRequest, default: str) -> tuple[str, str]:
    """Return the link to where an operator names the API of the newest delegation for the shared audience."""
    (newest, *_), more = delegations.live_for(tx, visit.act, visit.console.terms, default, limit=1)
    page = f"/console/delegations/{newest.delegation.id}"
    if not visit.may("operator"):
        return "Open the newest" if more else "Open the delegation", page
    return "Name the API of the newest" if more else "Name the API", f"{page}/edit#field-audiences"


def _unused(tx: Tx, visit: PageRequest) -> Iterator[Alert]:
    """Warn about delegations that have been live for a month and were never used.

    An unused permission should be revoked.
    """
    number = delegations.count(tx, visit.act, unused(visit.act.now), most=LOOKED_AT + 1)
    if number:
        many = plural(min(number, LOOKED_AT), "trust delegation")
        yield Alert(
            tone="warn",
            text=f"{'More than ' if number > LOOKED_AT else ''}{many} older than {UNUSED_FOR.days} days and never used",
            path="/console/delegations?sort=oldest&state=unused",
        )
