"""Test a token request: show the result and the token's claims. No token is issued."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from authsec_server.clients.model import Client, Proof, ProofKind
from authsec_server.console.client_status import ClientStatus, status_of
from authsec_server.console.clients.detail import find_client
from authsec_server.console.forms import Form
from authsec_server.console.issuers.unavailable import outages, unavailable_among
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations.effective import effective_actions
from authsec_server.tokens.hints import Remedy, remedy
from authsec_server.tokens.preview import Preview, preview
from authsec_server.tokens.refusal import Denied, Reason
from authsec_server.tokens.request import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedRequest:
    """The typed token request. An empty `proof` means the client's best proof."""

    proof: str
    scope: str
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewResult:
    """The result of the test, and the actions and audiences that the client can request.

    `unproved` is true if this authority cannot verify the assumed proof. A real request would now be refused
    with `attestation_required`; `outcome` is the result once the proof can be verified. `way_out` is the remedy
    for a client with no other proof.
    """

    client: Client
    status: ClientStatus
    outcome: Preview | Denied
    remedy: Remedy | None
    unproved: bool
    way_out: Remedy | None
    actions: Sequence[str]
    audiences: Sequence[str]

    @property
    def granted(self) -> Preview | None:
        """Return the preview of the token, or None if the request would be refused."""
        return None if isinstance(self.outcome, Denied) else self.outcome

    @property
    def claims(self) -> str:
        """Return the token's claims as JSON."""
        its: dict[str, Any] = self.granted.claims if self.granted else {}
        return json.dumps(its, indent=2, ensure_ascii=False)


async def test(visit: PageRequest) -> Response:
    """Show the form and the result. The form uses GET, because a test changes nothing."""
    asked = read_request(visit.query)
    silent = await outages(visit)
    tried = await visit.read(lambda tx: _tried(tx, visit, asked, silent))
    return visit.render(
        "clients/test.html",
        title=tried.client.name,
        client=tried.client,
        client_status=tried.status,
        silent=await unavailable_among(visit, tried.client.trusted_issuer_ids),
        asked=asked,
        tried=tried,
    )


def read_request(query: Form) -> TypedRequest:
    """Read the typed token request. Spaces separate several resources."""
    resources = tuple(query.text("resource").split())
    return TypedRequest(proof=query.text("proof"), scope=" ".join(query.text("scope").split()), resources=resources)


def _tried(tx: Tx, visit: PageRequest, asked: TypedRequest, silent: Mapping[str, str]) -> PreviewResult:
    client = find_client(tx, visit)
    outcome = preview(
        tx,
        visit.act,
        visit.console.tokens.issuance,
        client.id,
        scope=asked.scope,
        resources=asked.resources,
        proof_id=asked.proof or None,
    )
    held, now = effective_actions(tx, visit.act, client.id, visit.console.terms), visit.act.now
    return PreviewResult(
        client=client,
        status=status_of(tx, client, now, silent),
        outcome=outcome,
        remedy=_remedy(outcome, asked) if isinstance(outcome, Denied) else None,
        unproved=_unproved(client, outcome, asked, now),
        way_out=None if _gets_in(client, now) else remedy(Reason.ATTESTATION_REQUIRED, {}, can_prove=False),
        actions=sorted({each.action for each in held if not each.dormant}),
        audiences=sorted({audience for each in held for audience in each.audiences}),
    )


def _remedy(denied: Denied, asked: TypedRequest) -> Remedy:
    detail = {
        "missing": list(denied.missing),
        "unknown": list(denied.unknown),
        "withheld": list(denied.withheld),
        "smaller": list(denied.smaller),
        "resources": list(asked.resources),
        "needs_dpop": denied.needs_dpop,
    }
    return remedy(denied.reason, detail, can_prove=False)


def _unproved(client: Client, outcome: Preview | Denied, asked: TypedRequest, now: datetime) -> bool:
    """Whether the token endpoint would now refuse the request, because it cannot verify the proof.

    The error would be `attestation_required`. The endpoint checks in this order: malformed request, proof,
    everything else.
    """
    if not isinstance(outcome, Denied):
        return not outcome.provable
    if outcome.reason is Reason.ATTESTATION_REQUIRED or _malformed(client, asked):
        return False
    if not asked.proof:
        return not _gets_in(client, now)
    return not any(proof.id == asked.proof and _can_be_checked(proof, now) for proof in client.proofs)


def _malformed(client: Client, asked: TypedRequest) -> bool:
    query = [("client_id", client.id), ("scope", asked.scope), *(("resource", each) for each in asked.resources)]
    return isinstance(parse(query, [], [], address="", request_id=""), Denied)


def _can_be_checked(proof: Proof, now: datetime) -> bool:
    return proof.checkable or (proof.kind is ProofKind.UNATTESTED and proof.is_valid(now))


def _gets_in(client: Client, now: datetime) -> bool:
    return client.can_prove_itself(now) or client.unattested(now)
