"""The Connect tab: code and commands to copy to the client's machine, with the client's own values.

To run a client on a laptop, a person creates an enrolment code. The code is shown once, and can be revoked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from authsec_server.clients import enrolment_service
from authsec_server.clients.enrolment import DEFAULT_HOURS, Enrolment, NewEnrolment
from authsec_server.clients.k8s_manifest import IMAGE, manifest, names_image, unreachable
from authsec_server.clients.model import Client, ProofKind
from authsec_server.console.clients.client_lookup import find_client, home
from authsec_server.console.clients.connect_snippets import (
    KEY_FILE,
    KEYGEN,
    PROOF_VARIABLES,
    Connection,
    example_action,
    for_bash,
    for_powershell,
)
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations.effective import effective_actions
from authsec_server.failures import Conflict, Invalid
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


HOURS = (("1", "1 hour"), ("4", "4 hours"), ("8", "8 hours"), ("24", "1 day"), ("72", "3 days"), ("168", "7 days"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentLines:
    """The commands to run on the laptop, with the enrolment code. They are shown once and not stored."""

    base_url: str
    made: NewEnrolment

    @property
    def bash(self) -> str:
        """Return the commands for bash and similar shells."""
        return "\n".join([*for_bash(self._environment, PROOF_VARIABLES), self._enrol])

    @property
    def powershell(self) -> str:
        """Return the commands for PowerShell."""
        return "\n".join([*for_powershell(self._environment, PROOF_VARIABLES), self._enrol])

    @property
    def _environment(self) -> Mapping[str, str]:
        return {"AUTHSEC_BASE_URL": self.base_url, "AUTHSEC_AGENT_CLIENT_ID": self.made.client.id}

    @property
    def _enrol(self) -> str:
        return f"uv run authsec enrol {self.made.code}"


async def enrolment_form(visit: PageRequest, problem: Invalid | Conflict | None = None) -> Response:
    """Show the form that asks how long the laptop's key will be valid."""
    client, codes = await visit.read(lambda tx: _client_with_codes(tx, visit))
    return visit.render(
        "clients/enrol.html",
        title=f"Run {client.name} on a laptop",
        problem=problem,
        client=client,
        codes=codes,
        hours=visit.form.text("hours") or str(DEFAULT_HOURS),
        choices=HOURS,
    )


async def make_code(visit: PageRequest) -> Response:
    """Create an enrolment code and show it once."""
    asked = visit.named("client")
    try:
        hours = visit.form.number("hours", DEFAULT_HOURS)
        made = await visit.change(lambda tx, act: enrolment_service.make(tx, act, asked, hours=hours))
    except (Invalid, Conflict) as problem:
        return await enrolment_form(visit, problem)
    lines = EnrolmentLines(base_url=visit.console.settings.issuer, made=made)
    return visit.render(
        "clients/enrolment_code.html",
        title=f"Run {made.client.name} on a laptop",
        client=made.client,
        enrolment=made.enrolment,
        lines=lines,
    )


async def take_back(visit: PageRequest) -> Response:
    """Revoke the enrolment code."""
    asked, enrolment = visit.named("client"), visit.named("enrolment")
    client = await visit.change(lambda tx, act: enrolment_service.take_back(tx, act, asked, enrolment))
    return visit.redirect(home(client), done="code_taken_back")


def _client_with_codes(tx: Tx, visit: PageRequest) -> tuple[Client, list[Enrolment]]:
    client = find_client(tx, visit)
    return client, enrolment_service.open_of(tx, visit.act, client.id)
