"""The page of search results."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server import naming
from authsec_server.accounts import administrators
from authsec_server.apis import service as apis
from authsec_server.audit import service as audit
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import Named
from authsec_server.clients import search as clients
from authsec_server.console.activity.text import sentence
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import search as delegations
from authsec_server.delegations.model import title
from authsec_server.roles import service as roles

EACH = 8
MOST_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One search result. If results have the same name, `mark` and `note` tell them apart."""

    path: str
    name: str
    mark: str = ""
    note: str = ""


def routes(console: Console) -> list[BaseRoute]:
    """Return the route of the search."""
    return [console.page("/search", search)]


async def search(visit: PageRequest) -> Response:
    """Show the results, grouped by kind. If there is only one result, redirect to its page."""
    text = visit.query.text("q")[:MOST_TEXT]
    found = await visit.read(lambda tx: _found(tx, visit, text)) if text else {}
    hits = [hit for kind in found.values() for hit in kind]
    if len(hits) == 1:
        return visit.redirect(hits[0].path)
    former = await visit.read(lambda tx: _former(tx, visit, text.lower())) if not hits else None
    return visit.render("search/results.html", title="Search", text=text, found=found, each=EACH, former=former)


def _former(tx: Tx, visit: PageRequest, text: str) -> Named | None:
    """Return the deleted client whose Client ID is `text`, with its last name in the audit log.

    Return None if the audit log has no event of such a client.
    """
    if not naming.is_uuid(text):
        return None
    last = audit.page(tx, visit.act.principal, EventFilter(client_id=text), limit=1).items
    return last[0].event.client if last else None


def _found(tx: Tx, visit: PageRequest, text: str) -> dict[str, list[Hit]]:
    act, terms = visit.act, visit.console.terms
    return {
        "Clients": [
            Hit(path=f"/console/clients/{c.slug}", name=c.name, mark=c.id, note=c.owner)
            for c in clients.search(tx, act, text, limit=EACH)
        ],
        "Trust delegations": [
            Hit(
                path=f"/console/delegations/{s.delegation.id}",
                name=title(s.role.name, s.client.name),
                mark=s.delegation.id,
                note=s.state,
            )
            for s in delegations.search(tx, act, text, terms, limit=EACH)
        ],
        "Roles": [
            Hit(path=f"/console/roles/{r.slug}", name=r.name, mark=r.slug)
            for r in roles.search(tx, act, text, limit=EACH)
        ],
        "APIs": [
            Hit(path=f"/console/apis/{a.slug}", name=a.name, mark=a.identifier)
            for a in apis.search(tx, act, text, limit=EACH)
        ],
        "Administrators": [
            Hit(path=f"/console/administrators/{a.id}", name=a.name, mark=a.email)
            for a in administrators.search(tx, act, text, limit=EACH)
        ],
        "Events": [
            Hit(path=f"/console/activity/{e.id}", name=sentence(e), mark=e.event.jti or e.event.request_id)
            for e in audit.search(tx, act, text, limit=EACH)
        ],
    }
