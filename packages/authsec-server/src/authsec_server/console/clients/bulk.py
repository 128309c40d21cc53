"""Disable many clients at once: the list selects them, and a separate page asks for confirmation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from authsec_server import naming
from authsec_server.clients import service
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.console.forms import Form
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import consequences, search
from authsec_server.delegations.consequences import Consequences
from authsec_server.delegations.model import Uses
from authsec_server.failures import Invalid

TITLE = "Disable these clients?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The selected clients: those to disable, those disabled already, and the number of deleted ones (`gone`)."""

    enabled: Sequence[Client]
    already: Sequence[Client]
    gone: int
    uses: Mapping[str, Uses]
    stops: Consequences

    @property
    def live(self) -> int:
        """Return the total number of live delegations of the clients to disable."""
        return sum(uses.live for uses in self.uses.values())


async def ask(visit: PageRequest) -> Response:
    """Show the impact of disabling the selected clients, and ask for confirmation."""
    return await _page(visit, visit.query)


async def disable(visit: PageRequest) -> Response:
    """Disable all selected clients in one transaction."""
    ids = visit.form.all("client")
    try:
        await visit.change(lambda tx, act: service.disable_many(tx, act, ids))
    except Invalid as problem:
        return await _page(visit, visit.form, problem)
    return visit.redirect("/console/clients", done="clients_disabled")


async def _page(visit: PageRequest, asked: Form, problem: Invalid | None = None) -> Response:
    ids = [each for each in dict.fromkeys(asked.all("client")) if naming.is_uuid(each)][: service.MAX_AT_ONCE]
    chosen = await visit.read(lambda tx: _chosen(tx, visit, ids))
    return visit.render("clients/disable_many.html", title=TITLE, problem=problem, chosen=chosen)


def _chosen(tx: Tx, visit: PageRequest, ids: Sequence[str]) -> Chosen:
    known = clients.by_ids(tx, ids)
    ordered = sorted(known.values(), key=lambda client: (naming.folded(client.name), client.id))
    enabled = [client for client in ordered if client.enabled]
    enabled_ids = [client.id for client in enabled]
    return Chosen(
        enabled=enabled,
        already=[client for client in ordered if not client.enabled],
        gone=len(ids) - len(known),
        uses=search.held_by(tx, enabled_ids, visit.act.now),
        stops=consequences.of_clients(tx, visit.act, enabled_ids, visit.console.terms),
    )
