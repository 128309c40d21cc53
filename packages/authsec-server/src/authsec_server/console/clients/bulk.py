"""Disable many clients at once: the list selects them, and a separate page asks for confirmation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from authsec_server import naming
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.console.clients.found import LIST_TRAIL
from authsec_server.console.confirm import Confirmation, Question, back_to, once
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import consequences, search
from authsec_server.delegations.consequences import Consequences
from authsec_server.delegations.model import Uses


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


def _look(tx: Tx, visit: PageRequest) -> Question:
    ids = [each for each in dict.fromkeys(visit.sent.all("client")) if naming.is_uuid(each)]
    chosen = _chosen(tx, visit, ids[: clients.MAX_AT_ONCE])
    return Question(trail=LIST_TRAIL, possible=bool(chosen.enabled), shown={"chosen": chosen})


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


DISABLE = Confirmation(
    path="/clients/disable",
    template="clients/disable_many.html",
    heading="Disable these clients?",
    button="Disable",
    look=_look,
    change=once(lambda tx, act, visit: clients.disable_many(tx, act, visit.form.all("client"))),
    after=back_to("/console/clients", done="clients_disabled"),
)
"""Disables all selected clients in one transaction."""
