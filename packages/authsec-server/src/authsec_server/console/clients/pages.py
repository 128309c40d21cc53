"""The list of clients, and the changes of a client: onboard, edit, disable, enable, delete, revoke tokens.

No permission depends on the edited fields. Each of the other changes shows its impact and asks for confirmation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from starlette.responses import Response

from authsec_server import naming
from authsec_server.audit import counts
from authsec_server.clients import search
from authsec_server.clients import service as clients
from authsec_server.clients.model import Attention, Client, ClientKind, Platform
from authsec_server.clients.search import ALL, ClientFilters, ClientSort, Count
from authsec_server.console.client_status import WARNINGS, ClientStatus, statuses_of
from authsec_server.console.clients.detail import LIST_TRAIL, find_client, home, trail
from authsec_server.console.clients.forms import (
    TypedClient,
    at_fields,
    parse_texts,
    stored_texts,
    typed_client,
    typed_texts,
)
from authsec_server.console.clients.proofs import section_context, shown_secret
from authsec_server.console.confirm import Confirmation, Question, already_is, once, redirect_to
from authsec_server.console.forms import Form, raise_all, stored_meanwhile
from authsec_server.console.issuers.unavailable import outages
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact, service
from authsec_server.delegations import search as delegations
from authsec_server.delegations.client_state import ClientState
from authsec_server.delegations.effective import effective_actions
from authsec_server.failures import Conflict, Failure, FailureList, Invalid, Outdated

TITLE = "MCP Servers / AI Agents"
PAGE = 50
ORDERS = {f"{turn}{sort}": (sort, bool(turn)) for sort in ClientSort for turn in ("", "-")}

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One page of clients, with the state and the last token of each client."""

    clients: list[Client]
    following: str | None
    count: Count
    owners: list[str]
    statuses: Mapping[str, ClientStatus]
    last_tokens: Mapping[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientsQuery:
    """The filters of the list. `filters.attention` is a warning."""

    filters: ClientFilters = ALL
    state: ClientState | None = None

    @property
    def narrowed(self) -> bool:
        """Whether any filter is set."""
        return self != ClientsQuery()


async def listing(visit: PageRequest) -> Response:
    """Show the list of clients."""
    return visit.render("clients/list.html", title=TITLE, **await list_context(visit, visit.query))


async def list_context(visit: PageRequest, query: Form | None = None) -> dict[str, Any]:
    """Return the context of the list's template. Without a query, the context has the first page of all clients."""
    asked = query or Form()
    wanted, order, cursor = read_filters(asked), asked.text("sort"), asked.text("cursor")
    sort, descending = ORDERS.get(order, (ClientSort.NAME, False))
    silent = await outages(visit)
    listed = await visit.read(lambda tx: _listed(tx, visit, wanted, sort, descending, cursor, silent))
    return {
        "listed": listed,
        "rows": listed.clients,
        "following": listed.following,
        "filters": wanted.filters,
        "state": wanted.state,
        "narrowed": wanted.narrowed,
        "sort": order if order in ORDERS else ClientSort.NAME.value,
        "cursor": cursor,
        "states": [(state.value, state.shown) for state in reversed(ClientState)],
        "warnings": WARNINGS.items(),
    }


def read_filters(query: Form) -> ClientsQuery:
    """Read the filters of the query string. Unknown values are ignored.

    Older addresses have `status` and `attention`. Their values still work.
    """
    attention, status = query.text("attention"), query.text("status")
    older = {"disabled": ClientState.DISABLED, Attention.CANNOT_PROVE: ClientState.UNPROVED}
    warning = _choice(Attention, query.text("warning") or attention)
    filters = ClientFilters(
        text=query.text("text"),
        kind=_choice(ClientKind, query.text("kind")),
        platform=_choice(Platform, query.text("platform")),
        enabled=True if status == "enabled" else None,
        owner=query.text("owner"),
        label=query.text("label"),
        attention=warning if warning in WARNINGS else None,
    )
    state = _choice(ClientState, query.text("state")) or older.get(attention) or older.get(status)
    return ClientsQuery(filters=filters, state=state)


def _listed(
    tx: Tx,
    visit: PageRequest,
    wanted: ClientsQuery,
    sort: ClientSort,
    descending: bool,
    cursor: str,
    silent: Mapping[str, str],
) -> Listed:
    act, filters, also = visit.act, wanted.filters, None
    if wanted.state:
        filters, also = delegations.in_state(tx, wanted.state, filters, act.now)
    found, following = search.page_of(
        tx, act, filters, also=also, sort=sort, descending=descending, cursor=cursor, limit=PAGE
    )
    all_of_them = not cursor and following is None
    ids = [client.id for client in found]
    return Listed(
        clients=found,
        following=following,
        count=Count(number=len(found), capped=False) if all_of_them else search.count(tx, act, filters, also=also),
        owners=search.owners(tx, act),
        statuses=statuses_of(tx, found, act.now, silent),
        last_tokens=counts.last_tokens(tx, ids),
    )


def _choice(kind: type[Choice], text: str) -> Choice | None:
    return kind(text) if text in set(kind) else None


def _look_at_selected(tx: Tx, visit: PageRequest) -> Question:
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
    look=_look_at_selected,
    change=once(lambda tx, act, visit: clients.disable_many(tx, act, visit.form.all("client"))),
    after=redirect_to("/console/clients", done="clients_disabled"),
)


ONBOARD_TITLE = "Onboard New Client"


async def onboard_form(visit: PageRequest) -> Response:
    """Show the empty dialog."""
    return await _dialog(visit, TypedClient())


async def onboard(visit: PageRequest) -> Response:
    """Onboard the client, or add a row to the form."""
    typed, domain = typed_client(visit.form), visit.console.settings.trust_domain
    if visit.form.ticked("add"):
        return await _dialog(visit, replace(typed, proof=typed.proof.with_row(visit.form.text("add"))))
    problems = FailureList()
    wanted = typed.onboarding(problems)
    try:
        await raise_all(
            problems,
            lambda: visit.read(lambda tx: clients.propose(tx, visit.act, wanted, trust_domain=domain)),
        )
        client = await visit.change(lambda tx, act: clients.create(tx, act, wanted, trust_domain=domain))
    except (Invalid, Conflict) as problem:
        return await _dialog(visit, typed, typed.at_fields(problem))
    if client.fresh_secret:
        return shown_secret(visit, client)
    return visit.redirect(home(client), done="client_onboarded")


async def _dialog(visit: PageRequest, typed: TypedClient, problem: Invalid | Conflict | None = None) -> Response:
    return visit.render(
        "clients/onboard.html",
        title=ONBOARD_TITLE,
        problem=problem,
        typed=typed,
        **await section_context(visit, typed.proof, judged=problem is not None),
        **await list_context(visit),
    )


async def edit_form(
    visit: PageRequest, typed: Mapping[str, str] | None = None, problem: Failure | None = None
) -> Response:
    """Show the edit form with the typed values. If nothing was typed, show the stored values."""
    client = await visit.read(lambda tx: find_client(tx, visit))
    stored = stored_texts(client)
    typed = stored if typed is None else typed
    return visit.render(
        "clients/edit.html",
        title=f"Edit {client.name}",
        problem=problem,
        client=client,
        texts=typed,
        known=stored_meanwhile(problem, stored, typed),
        revision=visit.revision_of(client, problem),
    )


async def edit(visit: PageRequest) -> Response:
    """Save the typed values. If somebody else has changed the client since, show the form again.

    The form then shows the stored values beside the typed values.
    """
    typed, revision = typed_texts(visit.form), visit.form.number("revision")
    asked = visit.request.path_params["client"]
    try:
        wanted = parse_texts(typed)
        edited = await visit.change(lambda tx, act: clients.edit(tx, act, asked, revision=revision, changes=wanted))
    except (Invalid, Conflict) as problem:
        return await edit_form(visit, typed, at_fields(problem))
    except Outdated as problem:
        return await edit_form(visit, typed, problem)
    return visit.saved(home(edited), edited, revision)


def _look(tx: Tx, visit: PageRequest) -> Question:
    client = find_client(tx, visit)
    act, terms = visit.act, visit.console.terms
    stops = impact.of_client(tx, act, client.id, terms)
    effective = effective_actions(tx, act, client.id, terms)
    return Question(
        name=client.name,
        trail=trail(client),
        ids={"client": client.id},
        needless=visit.path.endswith("/revoke") and not stops.live_tokens,
        shown={
            "client": client,
            "stops": stops,
            "may": [each for each in effective if not each.gap(client, act.now)],
            "state_if_enabled": delegations.state_of(tx, replace(client, enabled=True), act.now),
            "delegations": delegations.of_client(tx, act, client.id, terms),
        },
    )


def _already(verb: str) -> Callable[[Tx, PageRequest], str]:
    def look(tx: Tx, visit: PageRequest) -> str:
        client = find_client(tx, visit)
        return already_is(f"The client is already {verb}d") if client.enabled == (verb == "enable") else ""

    return look


_HOME = "/console/clients/{client}"
_confirmation = partial(Confirmation, template="clients/ending.html", look=_look)
CONFIRMATIONS = (
    _confirmation(
        path="/clients/{client}/disable",
        already=_already("disable"),
        heading="Disable {}?",
        button="Disable",
        change=once(lambda tx, act, visit: clients.disable(tx, act, visit.named("client"))),
        after=redirect_to(_HOME, done="client_disabled"),
    ),
    _confirmation(
        path="/clients/{client}/enable",
        already=_already("enable"),
        heading="Enable {}?",
        button="Enable",
        danger=False,
        repeats=False,
        change=once(lambda tx, act, visit: clients.enable(tx, act, visit.named("client"))),
        after=redirect_to(_HOME, done="client_enabled"),
    ),
    _confirmation(
        path="/clients/{client}/revoke",
        heading="Revoke the tokens of {}?",
        button="Revoke tokens",
        change=once(lambda tx, act, visit: clients.revoke_tokens(tx, act, visit.named("client"))),
        after=redirect_to(_HOME, done="client_tokens_revoked"),
    ),
    _confirmation(
        path="/clients/{client}/delete",
        heading="Delete {}?",
        button="Delete",
        change=once(lambda tx, act, visit: service.delete_client(tx, act, visit.named("client"), visit.console.terms)),
        after=redirect_to("/console/clients", done="client_deleted"),
    ),
)
