"""Connect: the lines to copy to where the client runs, with its own values."""

from __future__ import annotations

from starlette.responses import Response

from authsec_server.clients import enrolments
from authsec_server.clients.enrolment import DEFAULT_HOURS, Enrolment
from authsec_server.clients.model import Client, ProofKind
from authsec_server.console.clients.found import found
from authsec_server.console.clients.laptop import HOURS
from authsec_server.console.clients.lines import KEY_FILE, KEYGEN, Connection, example_action
from authsec_server.console.site import Visit
from authsec_server.db import Tx
from authsec_server.delegations.effective import effective
from authsec_server.sources import service as sources
from authsec_server.sources.model import SourceKind
from authsec_server.tokens.model import Denied, Reason
from authsec_server.tokens.preview import preview


async def connect(visit: Visit) -> Response:
    """The page."""
    client, connection, codes = await visit.read(lambda tx: _connection(tx, visit))
    return visit.render(
        "clients/connect.html",
        title=client.name,
        client=client,
        connection=connection,
        key_file=KEY_FILE,
        keygen=KEYGEN,
        codes=codes,
        hours=str(DEFAULT_HOURS),
        choices=HOURS,
    )


def _connection(tx: Tx, visit: Visit) -> tuple[Client, Connection, list[Enrolment]]:
    client = found(tx, visit)
    scope, audience, resource = _use(tx, visit, client)
    connection = Connection(
        base_url=visit.console.settings.issuer,
        client_id=client.id,
        has_key=any(proof.kind is ProofKind.KEY_PAIR for proof in client.proofs),
        has_secret=client.holds_secret(visit.act.now),
        scope=scope,
        audience=audience,
        resource=resource,
        pod_audience=_pod_audience(tx, client, visit.console.settings.issuer),
    )
    return client, connection, enrolments.open_of(tx, visit.act, client.id)


def _pod_audience(tx: Tx, client: Client, issuer: str) -> str:
    """What the tokens of its cluster must be for; empty where no cluster vouches for it."""
    named = sources.by_ids(tx, client.source_ids).values()
    return next((each.audience or issuer for each in named if each.kind is SourceKind.KUBERNETES), "")


def _use(tx: Tx, visit: Visit, client: Client) -> tuple[str, str, str]:
    """An action for the example, the API that it is for, and again that API where the agent must name it."""
    outcome = preview(tx, visit.act, visit.console.tokens.issuance, client.id)
    if not isinstance(outcome, Denied):
        return example_action(outcome.granted.actions), outcome.granted.audience[0], ""
    if outcome.reason is Reason.INVALID_TARGET:
        held = [each for each in effective(tx, visit.act, client.id, visit.console.terms) if not each.dormant]
        scope = example_action(each.action for each in held)
        audience = next(each for each in held if scope in {"", each.action}).audiences[0]
        return scope, audience, audience
    return "", "", ""
