"""Preview the answer to a token request. A preview issues no token, records nothing and charges no rate limit.

The preview uses the same functions for decision and claims as a real request. Only the proof is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from authsec_server.attestation.matching import can_prove, required_keys, validation_of
from authsec_server.attestation.model import Proved
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client, Proof, ProofKind
from authsec_server.db import Tx
from authsec_server.delegations.model import DelegationState, GrantGap, ResolvedDelegation, state
from authsec_server.failures import NotFound
from authsec_server.issuers.model import TrustedIssuer
from authsec_server.principal import Act, Role
from authsec_server.tokens.claims import claims
from authsec_server.tokens.decision import Facts, Granted, GrantedAuthority, Issuance, decide
from authsec_server.tokens.facts import load_facts
from authsec_server.tokens.recording import explained
from authsec_server.tokens.refusal import Denied, Reason
from authsec_server.tokens.request import TokenRequest, parse

JTI = "(a new one for each token)"
JKT = "(the thumbprint of the client's DPoP key)"
_BEST_FIRST = (
    ProofKind.KEY_PAIR,
    ProofKind.SELECTORS,
    ProofKind.ENROLLED_KEY,
    ProofKind.SECRET,
    ProofKind.UNATTESTED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The token that a request would get. `jti` in `claims` is a placeholder.

    `provable` is true if the client can now use the assumed `proof`: this authority can check it, or the client
    is unattested. If `provable` is false, the client gets no token until the authority can check the proof.
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
    """Preview the answer to a request of the client with this proof.

    Without `proof_id`, the client's best unexpired proof is assumed, first among those that it can use now.
    `scope` and `resources` are the parameters of the request. Raises `NotFound` for the client or the proof.
    """
    act.principal.require(Role.VIEWER)
    client = clients.get(tx, act, client_id)
    request = _request(client.id, scope, resources)
    if isinstance(request, Denied):
        return request
    facts = load_facts(tx, request, issuance.limits.default_audience)
    foreseen = _foreseen(facts, client, request, issuance, proof_id, act.now)
    return explained(tx, foreseen) if isinstance(foreseen, Denied) else foreseen


def preview_delegation(
    tx: Tx,
    act: Act,
    issuance: Issuance,
    resolved: ResolvedDelegation,
) -> Preview | Denied:
    """Preview the answer as if this delegation were stored. It replaces a stored delegation with the same id.

    The delegation's own audiences are requested, with a proof that the delegation accepts. So the preview is about
    this delegation, not about the client's other delegations.
    """
    act.principal.require(Role.VIEWER)
    client, its = resolved.client, resolved.delegation
    if client.enabled and resolved.gap(act.now) in (GrantGap.EXCLUDED, GrantGap.WAITING):
        return Denied(reason=Reason.PROOF_NOT_ACCEPTED, details=resolved.reason(act.now))
    audiences = resolved.delegation.audiences or (issuance.limits.default_audience,)
    request = _request(resolved.client.id, "", audiences)
    if isinstance(request, Denied):
        return request
    facts = with_authority(
        load_facts(tx, request, issuance.limits.default_audience),
        GrantedAuthority(delegation=resolved.delegation, role=resolved.role),
    )
    accepted = tuple(proof for proof in client.proofs if its.accepts(proof.kind))
    return _foreseen(facts, replace(client, proofs=accepted or client.proofs), request, issuance, None, act.now)


def with_authority(facts: Facts, authority: GrantedAuthority) -> Facts:
    """Return the facts as if this delegation were stored."""
    others = [each for each in facts.authorities if each.delegation.id != authority.delegation.id]
    return replace(facts, authorities=(*others, authority))


def preview_of(
    facts: Facts,
    proof: Proof,
    actions: Sequence[str] | None,
    resources: Sequence[str],
    issuance: Issuance,
    now: datetime,
) -> Preview | Denied:
    """Decide on these facts, and return the preview of the granted token. The function is pure.

    If a delegation requires DPoP, the request is assumed to have a DPoP proof.
    """
    trusted_issuer = facts.trusted_issuers.get(proof.trusted_issuer_id or "")
    proved = _as_proved(proof, trusted_issuer)
    thumbprint = JKT if _sends_dpop(facts, proof, now) else ""
    outcome = decide(facts, proved, actions, resources, issuance.limits, now, thumbprint=thumbprint)
    if isinstance(outcome, Denied):
        return outcome
    its = claims(outcome, issuer=issuance.issuer, trust_domain=issuance.trust_domain, jti=JTI, now=now)
    return Preview(
        granted=outcome,
        claims=its,
        proof=proof,
        provable=_usable(proof, trusted_issuer),
    )


def _foreseen(
    facts: Facts, client: Client, request: TokenRequest, issuance: Issuance, proof_id: str | None, now: datetime
) -> Preview | Denied:
    proof = _chosen(client, proof_id) if proof_id else _best(client, facts, now)
    if proof is None:
        return Denied(reason=Reason.ATTESTATION_REQUIRED, details="The client has no valid proof: add one on its page.")
    return preview_of(facts, proof, request.actions, request.resources, issuance, now)


def _request(client_id: str, scope: str, resources: Sequence[str]) -> TokenRequest | Denied:
    """Parse the request with the rules of the token endpoint."""
    query = [("client_id", client_id), ("scope", scope), *(("resource", each) for each in resources)]
    return parse(query, [], [], address="", request_id="")


def _chosen(client: Client, proof_id: str) -> Proof:
    for proof in client.proofs:
        if proof.id == proof_id:
            return proof
    raise NotFound(f"{client.name} does not have this proof.", "Choose a proof on the client's page.")


def _best(client: Client, facts: Facts, now: datetime) -> Proof | None:
    """Return the unexpired proof that a request would use. A proof that the client can use now precedes the others."""

    def rank(proof: Proof) -> tuple[bool, int, datetime, str]:
        is_usable = _usable(proof, facts.trusted_issuers.get(proof.trusted_issuer_id or ""))
        return not is_usable, _BEST_FIRST.index(proof.kind), proof.created_at, proof.id

    return min((proof for proof in client.proofs if proof.is_valid(now)), key=rank, default=None)


def _as_proved(proof: Proof, trusted_issuer: TrustedIssuer | None) -> Proved:
    """Return the result that a successful check of this proof would have. No evidence is needed."""
    if trusted_issuer is None:
        keys = tuple(each.key for each in proof.selectors)
        return Proved(proof_id=proof.id, kind=proof.kind, trusted_issuer_id=proof.trusted_issuer_id, selectors=keys)
    return Proved(
        proof_id=proof.id,
        kind=proof.kind,
        trusted_issuer_kind=trusted_issuer.kind,
        trusted_issuer_id=trusted_issuer.id,
        trusted_issuer_revision=trusted_issuer.revision,
        selectors=required_keys(proof, trusted_issuer),
        validation=validation_of(trusted_issuer),
    )


def _sends_dpop(facts: Facts, proof: Proof, now: datetime) -> bool:
    """Whether a client with these delegations sends a DPoP proof. An unattested client has no use of it."""
    live = (each.delegation for each in facts.authorities if state(each.delegation, now) is DelegationState.LIVE)
    return proof.kind is not ProofKind.UNATTESTED and any(delegation.require_dpop for delegation in live)


def _usable(proof: Proof, trusted_issuer: TrustedIssuer | None) -> bool:
    """Return whether the authority can verify this proof, or needs none.

    The result is false if the trusted issuer cannot prove one of the selectors.
    """
    if proof.kind is ProofKind.UNATTESTED:
        return True
    return proof.checkable and (trusted_issuer is None or can_prove(proof, trusted_issuer))
