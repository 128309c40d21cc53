"""A client's secret: show a new one once, and rotate it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from starlette.responses import Response

from authsec_server.clients.held_proofs import rotate_secret
from authsec_server.clients.model import OVERLAP, Client
from authsec_server.console.clients.client_lookup import find_client, trail
from authsec_server.console.clients.connect_snippets import SECRET_FILE, SECRET_VARIABLE
from authsec_server.console.confirm import Confirmation, Question, once
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact
from authsec_server.principal import Act

OVERLAPS: Mapping[str, str] = {
    "0": "stop working now, with their tokens (a secret was leaked)",
    "3600": "work for 1 more hour",
    "86400": "work for 24 more hours",
    "604800": "work for 7 more days",
}

_DEFAULT = int(OVERLAP.total_seconds())


def shown(visit: PageRequest, client: Client) -> Response:
    """Show the new secret. It cannot be shown again: the server stores only a hash of the secret."""
    return visit.render(
        "clients/secret.html",
        title="Client secret",
        client=client,
        proof=next(proof for proof in client.proofs if proof.secret),
        file=SECRET_FILE,
        variable=SECRET_VARIABLE,
    )


def _look(tx: Tx, visit: PageRequest) -> Question:
    """Return the form that rotates the secret, and the impact if the older secrets end at once."""
    client = find_client(tx, visit)
    return Question(
        trail=trail(client),
        ids={"client": client.id},
        shown={
            "client": client,
            "stops": impact.of_secrets(tx, visit.act, client.id, at_once=True),
            "overlaps": OVERLAPS.items(),
            "overlap": visit.form.text("overlap", str(_DEFAULT)),
        },
    )


def _rotate(tx: Tx, act: Act, visit: PageRequest) -> Client:
    overlap = timedelta(seconds=min(visit.form.number("overlap", _DEFAULT), 10**9))
    return rotate_secret(tx, act, visit.named("client"), overlap)


ROTATE = Confirmation(
    path="/clients/{client}/secret",
    template="clients/rotate_secret.html",
    heading="Rotate secret",
    button="Rotate secret",
    danger=False,
    look=_look,
    change=once(_rotate),
    after=shown,
)
