"""Test: what the client would be answered now, and the claims that its token would carry. Mints nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from authsec_server.clients.model import Client, Proof, ProofKind
from authsec_server.console.clients.found import found
from authsec_server.console.forms import Form
from authsec_server.console.issuers.silent import silent_among
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations.effective import effective
from authsec_server.tokens.decision import Denied, Reason
from authsec_server.tokens.hints import Remedy, remedy
from authsec_server.tokens.preview import Preview, preview
from authsec_server.tokens.request import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedTrial:
    """What is asked for, as typed. An empty `proof` stands for the best one that the client holds."""

    proof: str
    scope: str
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """The answer, and what can be asked for.

    `unproved`: this authority cannot check the proof that is assumed, so that today the answer is
    `attestation_required`, and `outcome` only once it can. `way_out` is what helps a client that has no other proof.
    """

    client: Client
    outcome: Preview | Denied
    remedy: Remedy | None
    unproved: bool
    way_out: Remedy | None
    actions: Sequence[str]
    audiences: Sequence[str]

    @property
    def granted(self) -> Preview | None:
        """The token that would be given."""
        return None if isinstance(self.outcome, Denied) else self.outcome

    @property
    def claims(self) -> str:
        """Its claims, as JSON."""
        its: dict[str, Any] = self.granted.claims if self.granted else {}
        return json.dumps(its, indent=2, ensure_ascii=False)


async def test(visit: PageRequest) -> Response:
    """The form, and the answer to what it asks: a GET form, since it changes nothing."""
    trial = read_trial(visit.query)
    tried = await visit.read(lambda tx: _tried(tx, visit, trial))
    return visit.render(
        "clients/test.html",
        title=tried.client.name,
        client=tried.client,
        silent=await silent_among(visit, tried.client.trusted_issuer_ids),
        trial=trial,
        tried=tried,
    )


def read_trial(query: Form) -> TypedTrial:
    """What the form asks. Several resources are separated by spaces."""
    resources = tuple(query.text("resource").split())
    return TypedTrial(proof=query.text("proof"), scope=" ".join(query.text("scope").split()), resources=resources)


def _tried(tx: Tx, visit: PageRequest, trial: TypedTrial) -> TrialResult:
    client = found(tx, visit)
    outcome = preview(
        tx,
        visit.act,
        visit.console.tokens.issuance,
        client.id,
        scope=trial.scope,
        resources=trial.resources,
        proof_id=trial.proof or None,
    )
    held, now = effective(tx, visit.act, client.id, visit.console.terms), visit.act.now
    return TrialResult(
        client=client,
        outcome=outcome,
        remedy=_remedy(outcome, trial) if isinstance(outcome, Denied) else None,
        unproved=_unproved(client, outcome, trial, now),
        way_out=None if _gets_in(client, now) else remedy(Reason.ATTESTATION_REQUIRED, {}, can_prove=False),
        actions=sorted({each.action for each in held if not each.dormant}),
        audiences=sorted({audience for each in held for audience in each.audiences}),
    )


def _remedy(denied: Denied, trial: TypedTrial) -> Remedy:
    detail = {
        "missing": list(denied.missing),
        "unknown": list(denied.unknown),
        "smaller": list(denied.smaller),
        "resources": list(trial.resources),
    }
    return remedy(denied.reason, detail, can_prove=False)


def _unproved(client: Client, outcome: Preview | Denied, trial: TypedTrial, now: datetime) -> bool:
    """As the endpoint checks: first what is malformed, then the proof, then all else."""
    if not isinstance(outcome, Denied):
        return not outcome.provable
    if outcome.reason is Reason.ATTESTATION_REQUIRED or _malformed(client, trial):
        return False
    if not trial.proof:
        return not _gets_in(client, now)
    return not any(proof.id == trial.proof and _can_be_checked(proof, now) for proof in client.proofs)


def _malformed(client: Client, trial: TypedTrial) -> bool:
    query = [("client_id", client.id), ("scope", trial.scope), *(("resource", each) for each in trial.resources)]
    return isinstance(parse(query, [], [], address="", request_id=""), Denied)


def _can_be_checked(proof: Proof, now: datetime) -> bool:
    return proof.checkable or (proof.kind is ProofKind.UNATTESTED and proof.stands(now))


def _gets_in(client: Client, now: datetime) -> bool:
    return client.can_prove_itself(now) or client.unattested(now)
