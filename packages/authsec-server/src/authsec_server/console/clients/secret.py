"""A client's secret: show a new one once, and rotate it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from starlette.responses import Response

from authsec_server.clients.held_proofs import rotate_secret
from authsec_server.clients.model import OVERLAP, Client
from authsec_server.console.clients.found import found
from authsec_server.console.clients.lines import SECRET_FILE, SECRET_VARIABLE
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import consequences
from authsec_server.delegations.consequences import Consequences
from authsec_server.failures import Conflict, Invalid

OVERLAPS: Mapping[str, str] = {
    "0": "end at once, with their tokens: somebody has seen one",
    "3600": "count for 1 hour yet",
    "86400": "count for 24 hours yet",
    "604800": "count for 7 days yet",
}


async def ask(visit: PageRequest, problem: Invalid | Conflict | None = None) -> Response:
    """Show the form that rotates the secret. The form offers how long older secrets stay valid.

    The page also shows the impact of ending older secrets at once.
    """

    def load(tx: Tx) -> tuple[Client, Consequences]:
        client = found(tx, visit)
        return client, consequences.of_secrets(tx, visit.act, client.id, at_once=True)

    client, stops = await visit.read(load)
    return visit.render(
        "clients/rotate_secret.html",
        title="Rotate the secret",
        problem=problem,
        client=client,
        stops=stops,
        overlaps=OVERLAPS.items(),
        overlap=visit.form.text("overlap", str(int(OVERLAP.total_seconds()))),
    )


async def rotate(visit: PageRequest) -> Response:
    """Create another secret and show it once."""
    asked = visit.request.path_params["client"]
    try:
        overlap = timedelta(seconds=min(visit.form.number("overlap", int(OVERLAP.total_seconds())), 10**9))
        client = await visit.change(lambda tx, act: rotate_secret(tx, act, asked, overlap))
    except (Invalid, Conflict) as problem:
        return await ask(visit, problem)
    return shown(visit, client)


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
