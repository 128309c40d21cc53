"""The page of search results, and the suggestions in the search field of the top bar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from authsec_server import naming
from authsec_server.accounts import administrators
from authsec_server.apis import service as apis
from authsec_server.audit import service as audit
from authsec_server.audit.event_shape import is_request_id
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import Named
from authsec_server.clients import search as clients
from authsec_server.clients.search import ClientFilters
from authsec_server.console import guard
from authsec_server.console.activity.text import sentence
from authsec_server.console.client_status import ClientStatus, statuses_of
from authsec_server.console.forms import pasted_id
from authsec_server.console.issuers.unavailable import outages
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import search as delegations
from authsec_server.delegations.model import DelegationFilters, ResolvedDelegation, title
from authsec_server.roles import service as roles

EACH = 8
SUGGESTED = 3  # of each kind
MOST_COUNTED = 1000
MOST_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One search result. If results have the same name, `mark` and `note` tell them apart.

    A client has its badges. The state of a trust delegation depends on the badges of its client.
    """

    path: str
    name: str
    mark: str = ""
    note: str = ""
    client_status: ClientStatus | None = None
    resolved: ResolvedDelegation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The first results of one kind, for example `Client` and `Clients`. `number` above `most` means: more than `most`.

    `every` is the path of a list of all results. With `whole`, the list has more than the results.
    """

    one: str
    many: str
    hits: Sequence[Hit]
    number: int
    every: str
    most: int = MOST_COUNTED
    whole: bool = False

    @property
    def count(self) -> str:
        """Return the number of results: `1,204`, or `1,000+` if only so many are counted."""
        return f"{self.number:,}" if self.number <= self.most else f"{self.most:,}+"

    @property
    def all(self) -> str:
        """Return the text of the link to all results: `All 1,204 clients`."""
        nouns = self.many if self.many == "APIs" else self.many.lower()
        return f"All {nouns}" if self.whole else f"All {self.count} {nouns}"


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the search and of its suggestions."""
    return [console.page("/search", search), console.page("/search/suggestions", suggestions)]


async def search(visit: PageRequest) -> Response:
    """Show the results, grouped by kind. If there is only one result, redirect to its page."""
    text = visit.query.text("q")[:MOST_TEXT]
    found = await _search(visit, text, EACH)
    hits = [hit for kind in found for hit in kind.hits]
    if len(hits) == 1:
        return visit.redirect(hits[0].path)
    former = await visit.read(lambda tx: _former(tx, visit, text.lower())) if not hits else None
    return visit.render("search/results.html", title="Search", text=text, found=found, former=former)


async def suggestions(visit: PageRequest) -> Response:
    """Return the options of the search field for a typed text, as JSON for the field's script."""
    text = visit.query.text("q")[:MOST_TEXT]
    found = await _search(visit, text, SUGGESTED)
    number = sum(min(kind.number, kind.most) for kind in found)
    options = visit.part(
        "search/suggestions.html",
        text=text,
        found=found,
        number=f"{number:,}{'+' if any(kind.number > kind.most for kind in found) else ''}",
        more=any(kind.number > len(kind.hits) for kind in found),
    )
    return JSONResponse({"options": options, "more": False}, headers=dict(guard.HEADERS))


async def _search(visit: PageRequest, text: str, each: int) -> list[Found]:
    if not text:
        return []
    silent = await outages(visit)
    return await visit.read(lambda tx: [kind for kind in _found(tx, visit, text, each, silent) if kind.hits])


def _former(tx: Tx, visit: PageRequest, text: str) -> Named | None:
    """Return the deleted client whose Client ID is `text`, with its last name in the audit log.

    Return None if the audit log has no event of such a client.
    """
    if not naming.is_uuid(text):
        return None
    last = audit.page(tx, visit.act.principal, EventFilter(client_id=text), limit=1).items
    return last[0].event.client if last else None


def _found(tx: Tx, visit: PageRequest, text: str, each: int, silent: Mapping[str, str]) -> Iterator[Found]:
    """Yield the results of each kind, at most `each` of them. Results are counted only if there are more."""
    act, typed = visit.act, quote(text, safe="")
    agents = clients.search(tx, act, text, limit=each)
    resolved = delegations.search(tx, act, text, visit.console.terms, limit=each)
    parties = {client.id: client for client in (*agents, *(given.client for given in resolved))}
    statuses = statuses_of(tx, parties.values(), act.now, silent)
    hits = [
        Hit(
            path=f"/console/clients/{client.slug}",
            name=client.name,
            mark=client.id,
            note=client.owner,
            client_status=statuses[client.id],
        )
        for client in agents
    ]
    number = len(hits)
    if number == each:
        number = clients.count(tx, act, ClientFilters(text=text), most=MOST_COUNTED + 1).number
    yield Found(one="Client", many="Clients", hits=hits, number=number, every=f"/console/clients?text={typed}")
    hits = [
        Hit(
            path=f"/console/delegations/{given.delegation.id}",
            name=title(given.role.name, given.client.name),
            mark=given.delegation.id,
            client_status=statuses[given.client.id],
            resolved=given,
        )
        for given in resolved
    ]
    wanted = DelegationFilters(text=text)
    number = len(hits) if len(hits) < each else delegations.count(tx, act, wanted, most=MOST_COUNTED + 1)
    every = f"/console/delegations?q={typed}"
    yield Found(one="Trust delegation", many="Trust delegations", hits=hits, number=number, every=every)
    hits = [
        Hit(path=f"/console/roles/{role.slug}", name=role.name, mark=role.slug)
        for role in roles.search(tx, act, text, limit=each)
    ]
    number = len(hits) if len(hits) < each else roles.count(tx, act, text, most=MOST_COUNTED + 1)
    yield Found(one="Role", many="Roles", hits=hits, number=number, every=f"/console/roles?q={typed}")
    hits = [
        Hit(path=f"/console/apis/{api.slug}", name=api.name, mark=api.identifier)
        for api in apis.search(tx, act, text, limit=each)
    ]
    number = len(hits) if len(hits) < each else apis.count(tx, act, text, most=MOST_COUNTED + 1)
    yield Found(one="API", many="APIs", hits=hits, number=number, every=f"/console/apis?text={typed}")
    yield from _people_and_events(tx, visit, text, each)


def _people_and_events(tx: Tx, visit: PageRequest, text: str, each: int) -> Iterator[Found]:
    people = [
        Hit(path=f"/console/administrators/{person.id}", name=person.name, mark=person.email)
        for person in administrators.search(tx, visit.act, text, limit=MOST_COUNTED + 1)
    ]
    yield Found(
        one="Administrator",
        many="Administrators",
        hits=people[:each],
        number=len(people),
        every="/console/administrators",
        whole=True,
    )
    pasted = pasted_id(text)
    found = audit.search(tx, visit.act, pasted, limit=EACH + 1)
    events = [
        Hit(path=f"/console/activity/{each.id}", name=sentence(each), mark=each.event.jti or each.event.request_id)
        for each in found
    ]
    kind = "request_id" if is_request_id(pasted) else "jti"
    yield Found(
        one="Event",
        many="Events",
        hits=events[:each],
        number=len(events),
        most=EACH,
        every=f"/console/activity?{kind}={quote(pasted, safe='')}",
        whole=True,
    )
