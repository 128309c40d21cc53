"""The one question that counts: does this agent get a token? Asked as the SDK asks it; the token is shown to nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from authsec.authority import Authority
from authsec.clock import Clock
from authsec.config import AuthSecConfig
from authsec.credentials import CredentialSource, Proof, ProofRequest
from authsec.doctor.advice import advice
from authsec.doctor.findings import Finding
from authsec.doctor.proofs import Looked
from authsec.errors import AuthSecError
from authsec.terminal import Grade, duration
from authsec.token_report import claims, fact, unattested, verified
from authsec.tokens import DelegationToken, TokenRequest

Names = str | Sequence[str] | None
_CLOCK: Final = "Set this machine's clock, or the authority's, by the network: this token is good at another time."
_CHANGED: Final = "See what is between this machine and the authority: what it gave does not fit what it publishes."
_OF_TOKENS: Final = {
    "issuer_mismatch": "Compare AUTHSEC_ISSUER, if it is set, with the issuer above.",
    "token_expired": _CLOCK,
    "token_not_yet_valid": _CLOCK,
}
_OF_PROOFS: Final = {"attestation_required", "attestation_invalid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """The place that counts, or none: the others have been listed already."""

    source: CredentialSource | None

    def proof(self, request: ProofRequest) -> Proof | None:
        return self.source.proof(request) if self.source else None

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - the list stands where the proof was looked for
        return "what is listed above"


def token(config: AuthSecConfig, looked: Looked, clock: Clock, *, scope: Names, resource: Names) -> list[Finding]:
    """Ask for one, and verify it as an API does."""
    authority = Authority(config, (_Counts(source=looked.source),), clock=clock)
    try:
        request = TokenRequest.of(scope, resource)
        given, took = clock.timed(lambda: authority.fetch(request))
        issuer = authority.issuer()
    except AuthSecError as error:
        return [Finding.failed("token", error, _remedy(error, looked, config))]
    received = Finding(step="token", facts=(f"received in {duration(took)}",))
    return [received, _verified(given, authority, issuer)]


def _remedy(error: AuthSecError, looked: Looked, config: AuthSecConfig) -> str:
    """What the search for a proof has said, if it has: a place could be filled, or what is there has expired."""
    return (looked.finding.remedy if error.reason in _OF_PROOFS else "") or advice(error, config)


def _verified(given: DelegationToken, authority: Authority, issuer: str) -> Finding:
    lives = fact("lives", duration(given.expires_in))
    try:
        identity, keys = verified(given, authority, issuer)
    except AuthSecError as error:
        if error.reason != "extra_missing":
            return Finding.failed("signature", error, _OF_TOKENS.get(error.reason, _CHANGED))
        told = [fact("audience", ", ".join(given.audience)), fact("actions", ", ".join(given.permissions)), lives]
        return Finding(step="token says", facts=(*told, "not verified here, which is the APIs' part (extra `verify`)"))
    facts = (f"verified {keys}", *claims(identity), lives)
    if not unattested(identity):
        return Finding(step="token says", facts=facts)
    return Finding(
        step="token says",
        grade=Grade.AMBER,
        facts=facts,
        reason="unattested",
        remedy="Register a proof for this agent, and remove the one that proves nothing, before it matters.",
    )
