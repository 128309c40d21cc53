"""Disable many clients at once. A person selects them in the list, and confirms the change on a separate page."""

from __future__ import annotations

from authsec_server import naming
from authsec_server.clients import service as clients
from authsec_server.console.clients.client_lookup import LIST_TRAIL
from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact, search


def _look(tx: Tx, visit: PageRequest) -> Question:
    """Return the confirmation question about the selected clients.

    The question lists the clients to disable and the clients that are disabled already. It also has the number
    of selected clients that were deleted.
    """
    asked = [each for each in dict.fromkeys(visit.sent.all("client")) if naming.is_uuid(each)][: clients.MAX_AT_ONCE]
    known = clients.by_ids(tx, asked)
    ordered = sorted(known.values(), key=lambda client: (naming.folded(client.name), client.id))
    enabled = [client for client in ordered if client.enabled]
    ids = [client.id for client in enabled]
    uses = search.held_by(tx, ids, visit.act.now)
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
    look=_look,
    change=once(lambda tx, act, visit: clients.disable_many(tx, act, visit.form.all("client"))),
    after=redirect_to("/console/clients", done="clients_disabled"),
)
