"""The Connect tab: code and commands to copy to the client's machine. The code contains the client's own values."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from authsec_server.clients import enrolment_service
from authsec_server.clients.enrolment import DEFAULT_HOURS, Enrolment
from authsec_server.clients.k8s_manifest import IMAGE, manifest, names_image, unreachable
from authsec_server.clients.model import Client, ProofKind
from authsec_server.console.clients.client_lookup import find_client
from authsec_server.console.clients.connect_snippets import KEY_FILE, KEYGEN, Connection, example_action
from authsec_server.console.clients.enrolment import HOURS
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations.effective import effective_actions
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import TrustedIssuerKind
from authsec_server.tokens.decision import Denied, Reason
from authsec_server.tokens.preview import preview


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """The Kubernetes manifest (YAML) of the client's pods.

    `image` is the placeholder for the container image. `image` is empty if the proof names an image. `caution`
    is a warning if pods cannot reach this authority. `caution` is empty if they can.
    """

    manifest: str
    image: str
    caution: str = ""


async def connect(visit: PageRequest) -> Response:
    """Show the Connect tab."""
    client, connection, codes, pods = await visit.read(lambda tx: _connection(tx, visit))
    return visit.render(
        "clients/connect.html",
        title=client.name,
        client=client,
        connection=connection,
        pods=pods,
        key_file=KEY_FILE,
        keygen=KEYGEN,
        codes=codes,
        hours=str(DEFAULT_HOURS),
        choices=HOURS,
    )


def _connection(tx: Tx, visit: PageRequest) -> tuple[Client, Connection, list[Enrolment], Pods | None]:
    client = find_client(tx, visit)
    scope, audience, resource = _use(tx, visit, client)
    connection = Connection(
        base_url=visit.console.settings.issuer,
        client_id=client.id,
        has_key=any(proof.kind is ProofKind.KEY_PAIR for proof in client.proofs),
        has_secret=client.holds_secret(visit.act.now),
        scope=scope,
        audience=audience,
        resource=resource,
    )
    return client, connection, enrolment_service.open_of(tx, visit.act, client.id), _pods(tx, visit, client)


def _pods(tx: Tx, visit: PageRequest, client: Client) -> Pods | None:
    """Return the manifest for the client's first valid proof with a trusted issuer of the kind Kubernetes.

    Return None if the client has no such proof.
    """
    issuer, named = visit.console.settings.issuer, issuers.by_ids(tx, client.trusted_issuer_ids)
    for proof in client.proofs:
        trusted_issuer = named.get(proof.trusted_issuer_id or "")
        if (
            trusted_issuer is not None
            and trusted_issuer.kind is TrustedIssuerKind.KUBERNETES
            and proof.is_valid(visit.act.now)
        ):
            text = manifest(
                proof.selectors,
                slug=client.slug,
                client_id=client.id,
                base_url=issuer,
                audience=trusted_issuer.audience or issuer,
            )
            return Pods(manifest=text, image="" if names_image(proof.selectors) else IMAGE, caution=unreachable(issuer))
    return None


def _use(tx: Tx, visit: PageRequest, client: Client) -> tuple[str, str, str]:
    """Return an example action, the audience of its API, and the value of `resource` for the token request.

    `resource` is empty if the agent need not name the API. All three values are empty if the client gets no
    token.
    """
    outcome = preview(tx, visit.act, visit.console.tokens.issuance, client.id)
    if not isinstance(outcome, Denied):
        return example_action(outcome.granted.actions), outcome.granted.audience[0], ""
    if outcome.reason is Reason.INVALID_TARGET:
        held = [each for each in effective_actions(tx, visit.act, client.id, visit.console.terms) if not each.dormant]
        scope = example_action(each.action for each in held)
        audience = next(each for each in held if scope in {"", each.action}).audiences[0]
        return scope, audience, audience
    return "", "", ""
