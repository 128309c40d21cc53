"""Disable, enable or delete a client, or revoke its tokens.

Each page shows the impact and asks for confirmation before the change.
"""

from __future__ import annotations

from functools import partial

from authsec_server.clients import service as clients
from authsec_server.console.clients.client_lookup import find_client, trail
from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact, search, service
from authsec_server.delegations.effective import effective_actions


def _look(tx: Tx, visit: PageRequest) -> Question:
    client = find_client(tx, visit)
    act, terms = visit.act, visit.console.terms
    return Question(
        name=client.name,
        trail=trail(client),
        ids={"client": client.id},
        shown={
            "client": client,
            "stops": impact.of_client(tx, act, client.id, terms),
            "may": effective_actions(tx, act, client.id, terms),
            "delegations": search.of_client(tx, act, client.id, terms),
        },
    )


_HOME = "/console/clients/{client}"
_confirmation = partial(Confirmation, template="clients/ending.html", look=_look)
CONFIRMATIONS = (
    _confirmation(
        path="/clients/{client}/disable",
        heading="Disable {}?",
        button="Disable",
        change=once(lambda tx, act, visit: clients.disable(tx, act, visit.named("client"))),
        after=redirect_to(_HOME, done="client_disabled"),
    ),
    _confirmation(
        path="/clients/{client}/enable",
        heading="Enable {}?",
        button="Enable",
        danger=False,
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
