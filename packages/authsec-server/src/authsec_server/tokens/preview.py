"""What a client would be answered, without asking for it: mints nothing, records nothing, charges no limit.

The decision and the claims are those of the token path, the very same functions; only the proof is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from authsec_server.attestation.matching import asked_of, can_hold, validation_of
from authsec_server.attestation.model import Proved
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client, Proof, ProofKind
from authsec_server.db import Tx
from authsec_server.delegations.model import Standing
from authsec_server.failures import NotFound
from authsec_server.issuers.model import TrustedIssuer
from authsec_server.principal import Act, Role
from authsec_server.tokens.claims import claims
from authsec_server.tokens.decision import Denied, Facts, Granted, GrantedAuthority, Issuance, Reason, decide
from authsec_server.tokens.issue import explained, load_facts
from authsec_server.tokens.request import TokenRequest, parse

JTI = "(a new one for each token)"
_BEST_FIRST = (
    ProofKind.KEY_PAIR,
    ProofKind.SELECTORS,
    ProofKind.ENROLLED_KEY,
    ProofKind.SECRET,
    ProofKind.UNATTESTED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The token that would be given. `provable`: this authority can check the `proof` that is assumed.

    Where it cannot, the client gets nothing until it can. In `claims`, `jti` is a text in its place.
    """

    granted: Granted
    claims: dict[str, Any]
    proof: Proof
    provable: bool


def preview(
    tx: Tx,
    act: Act,
    issuance: Issuance,
    client_id: str,
    *,
    scope: str = "",
    resources: Sequence[str] = (),
    proof_id: str | None = None,
) -> Preview | Denied:
    """What the client would be answered now, were it to prove itself by its best standing proof, or by this one.

    `scope` and `resources` are what it asks for, as in a request. Raises `NotFound` for the client or the proof.
    """
    act.principal.require(Role.VIEWER)
    client = clients.get(tx, act, client_id)
    request = _request(client.id, scope, resources)
    if isinstance(request, Denied):
        return request
    foreseen = _foreseen(load_facts(tx, request), client, request, issuance, proof_id, act.now)
    return explained(tx, foreseen) if isinstance(foreseen, Denied) else foreseen


def preview_delegation(
    tx: Tx,
    act: Act,
    issuance: Issuance,
    standing: Standing,
    *,
    scope: str = "",
    resources: Sequence[str] = (),
    proof_id: str | None = None,
) -> Preview | Denied:
    """The same, were this delegation stored: beside those there are, or in place of the one with its id.

    Where no resource is asked for, it is those that the delegation is for: the answer is about this delegation.
    """
    act.principal.require(Role.VIEWER)
    for_these = resources or standing.delegation.audiences or (issuance.limits.default_audience,)
    request = _request(standing.client.id, scope, for_these)
    if isinstance(request, Denied):
        return request
    facts = with_authority(
        load_facts(tx, request), GrantedAuthority(delegation=standing.delegation, role=standing.role)
    )
    return _foreseen(facts, standing.client, request, issuance, proof_id, act.now)


def with_authority(facts: Facts, authority: GrantedAuthority) -> Facts:
    """The facts as they would be with this delegation."""
    others = [each for each in facts.authorities if each.delegation.id != authority.delegation.id]
    return replace(facts, authorities=(*others, authority))


def foresee(
    facts: Facts,
    proof: Proof,
    actions: Sequence[str] | None,
    resources: Sequence[str],
    issuance: Issuance,
    now: datetime,
) -> Preview | Denied:
    """The decision on these facts, and the claims of the token that it grants. Pure."""
    trusted_issuer = facts.trusted_issuers.get(proof.trusted_issuer_id or "")
    outcome = decide(facts, _as_proved(proof, trusted_issuer), actions, resources, issuance.limits, now)
    if isinstance(outcome, Denied):
        return outcome
    its = claims(outcome, issuer=issuance.issuer, trust_domain=issuance.trust_domain, jti=JTI, now=now)
    return Preview(
        granted=outcome,
        claims=its,
        proof=proof,
        provable=proof.kind is ProofKind.UNATTESTED or _checked(proof, trusted_issuer),
    )


def _foreseen(
    facts: Facts, client: Client, request: TokenRequest, issuance: Issuance, proof_id: str | None, now: datetime
) -> Preview | Denied:
    proof = _chosen(client, proof_id) if proof_id else _best(client, now)
    if proof is None:
        return Denied(
            reason=Reason.ATTESTATION_REQUIRED, details="It holds no proof that stands: give it one, on its page."
        )
    return foresee(facts, proof, request.actions, request.resources, issuance, now)


def _request(client_id: str, scope: str, resources: Sequence[str]) -> TokenRequest | Denied:
    """Parsed by the endpoint's own rules."""
    query = [("client_id", client_id), ("scope", scope), *(("resource", each) for each in resources)]
    return parse(query, [], [], address="", request_id="")


def _chosen(client: Client, proof_id: str) -> Proof:
    for proof in client.proofs:
        if proof.id == proof_id:
            return proof
    raise NotFound(f"{client.name} has no such proof any more.", "Choose among those on its page.")


def _best(client: Client, now: datetime) -> Proof | None:
    standing = [proof for proof in client.proofs if proof.stands(now)]
    return min(standing, key=lambda proof: (_BEST_FIRST.index(proof.kind), proof.created_at, proof.id), default=None)


def _as_proved(proof: Proof, trusted_issuer: TrustedIssuer | None) -> Proved:
    """As if evidence for it had come and held."""
    if trusted_issuer is None:
        keys = tuple(each.key for each in proof.selectors)
        return Proved(proof_id=proof.id, kind=proof.kind, trusted_issuer_id=proof.trusted_issuer_id, selectors=keys)
    return Proved(
        proof_id=proof.id,
        kind=proof.kind,
        trusted_issuer_kind=trusted_issuer.kind,
        trusted_issuer_id=trusted_issuer.id,
        trusted_issuer_revision=trusted_issuer.revision,
        selectors=asked_of(proof, trusted_issuer),
        validation=validation_of(trusted_issuer),
    )


def _checked(proof: Proof, trusted_issuer: TrustedIssuer | None) -> bool:
    """Whether evidence for it can be had at all: a trusted issuer may be unable to tell one of its selectors."""
    return proof.checkable and (trusted_issuer is None or can_hold(proof, trusted_issuer))
