"""Checks of the authority at AUTHSEC_BASE_URL: its issuer, its clock, and whether it issues this agent a token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from authsec.authority import Authority, issuer_of, proof_key_of, require_trusted
from authsec.clock import Clock
from authsec.config import AuthSecConfig, export_line
from authsec.credentials import CredentialSource, Proof, ProofRequest
from authsec.doctor.advice import advice
from authsec.doctor.proofs import ProofSearch
from authsec.doctor.report import Finding
from authsec.errors import AuthSecError, ConfigError
from authsec.http_answer import http_date
from authsec.refusals import CLOCK_TOLERANCE
from authsec.safe_text import plain
from authsec.terminal import Grade, duration
from authsec.token_report import claim_lines, fact_line, is_unattested, verify_as_api
from authsec.tokens import DelegationToken, TokenRequest

_AMBER: Final = 5.0
_RED: Final = CLOCK_TOLERANCE
# A Date header omits fractions of a second: half a second on average.
_WITHIN: Final = 0.5

Names = str | Sequence[str] | None
_CLOCK: Final = (
    "By this machine's clock, the token is not valid now. Synchronise the clock of this machine, or of the "
    "authority, with the network."
)
_CHANGED: Final = (
    "The token does not match the keys that the authority publishes. Check whether a proxy between this machine "
    "and the authority changes the answers."
)
_OF_TOKENS: Final = {
    "issuer_mismatch": "Compare AUTHSEC_ISSUER, if it is set, with the issuer above.",
    "token_expired": _CLOCK,
    "token_not_yet_valid": _CLOCK,
}
_API_NOT_DELEGATED: Final = (
    "Ask an administrator to delegate actions of {resource}: `authsec delegations create --agent {agent} …`. If the "
    "API is registered under another identifier, the API's operator must set `audience` to that identifier."
)
_OF_PROOFS: Final = {"attestation_required", "attestation_invalid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityFindings:
    """Findings about the authority. `issuer` is None if no authority answered with a valid issuer."""

    findings: tuple[Finding, ...]
    issuer: str | None


def check_authority(authority: Authority, config: AuthSecConfig, clock: Clock) -> AuthorityFindings:
    """Fetch the authority's metadata, and check its issuer and its clock."""
    began = clock.wall()
    try:
        (metadata, date), took = clock.timed(authority.metadata)
        issuer = issuer_of(metadata)
    except AuthSecError as error:
        nobody = Finding.skipped("clock", "no authority answered, so its time is unknown")
        return AuthorityFindings(
            findings=(Finding.failed("authority", error, advice(error, config)), nobody), issuer=None
        )
    finding = _named(issuer, config, f"issuer {issuer}, answered in {duration(took)}")
    return AuthorityFindings(findings=(finding, check_clock(http_date(date), began, clock.wall())), issuer=issuer)


def _named(issuer: str, config: AuthSecConfig, fact: str) -> Finding:
    if config.issuer not in {None, issuer}:
        return Finding(
            step="authority",
            grade=Grade.BAD,
            facts=(
                fact,
                f"AUTHSEC_ISSUER is {config.issuer}: proofs are made for that issuer, so this authority refuses them",
            ),
            reason="issuer_mismatch",
            remedy=(
                "If AUTHSEC_BASE_URL is the wrong authority, correct AUTHSEC_BASE_URL. Otherwise set:\n    "
                f"{export_line('AUTHSEC_ISSUER', issuer)}"
            ),
        )
    try:
        require_trusted(issuer, config)
    except ConfigError as error:
        return Finding(
            step="authority",
            grade=Grade.AMBER,
            facts=(
                fact,
                "this issuer differs from AUTHSEC_BASE_URL: no SPIFFE or GitHub proof is made for such an issuer",
            ),
            reason=error.reason,
            remedy=f"If {issuer} is the issuer of your authority, set:\n    {export_line('AUTHSEC_ISSUER', issuer)}",
        )
    return Finding(step="authority", facts=(fact,))


def check_clock(date: datetime | None, asked_at: float, answered_at: float) -> Finding:
    """Compare this machine's clock with the `Date` header of the authority's response.

    `asked_at` and `answered_at` are this machine's times before the request and after the response.
    """
    if date is None:
        return Finding.skipped("clock", "the authority's answer has no Date header, so its time is unknown")
    ahead = (asked_at + answered_at) / 2 - (date.timestamp() + _WITHIN)
    certain = max(0.0, abs(ahead) - _WITHIN - (answered_at - asked_at) / 2)
    if certain <= _AMBER:
        return Finding(step="clock", facts=("agrees with the authority's, as far as can be measured",))
    fact = f"about {duration(round(abs(ahead)))} {'ahead of' if ahead > 0 else 'behind'} the authority's"
    return Finding(
        step="clock",
        grade=Grade.BAD if certain > _RED else Grade.AMBER,
        facts=(fact, f"proofs and tokens are refused if the difference is {_RED:g} s or more"),
        reason="clock_differs",
        remedy=(
            "Synchronise this machine's clock with the network (`timedatectl set-ntp true`), or the authority's "
            "clock, if that clock is wrong."
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChosenSource:
    """The credential source that the SDK uses for the token request, or none.

    The report has already listed all sources, so this source does not list them again.
    """

    source: CredentialSource | None

    def proof(self, request: ProofRequest) -> Proof | None:
        return self.source.proof(request) if self.source else None

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - the report has already listed the sources
        return "what is listed above"


def check_token(
    config: AuthSecConfig,
    looked: ProofSearch,
    clock: Clock,
    *,
    scope: Names,
    resource: Names,
    named_by_api: str | None = None,
) -> list[Finding]:
    """Request a token, and verify it as an API does.

    Without `resource`, the request is for `named_by_api`: the resource in an API's metadata.
    """
    try:
        request = TokenRequest.of(scope, resource or named_by_api)
        sources, proof_key = (_ChosenSource(source=looked.source),), proof_key_of(config, clock)
        authority = Authority(config, sources, clock=clock, proof_key=proof_key)
        given, took = clock.timed(lambda: authority.fetch(request))
        issuer = authority.issuer()
    except AuthSecError as error:
        remedy = _remedy(error, looked, config)
        if error.reason == "invalid_target" and not resource and named_by_api:
            remedy = _API_NOT_DELEGATED.format(resource=plain(named_by_api, 200), agent=config.client_id)
        return [Finding.failed("token", error, remedy)]
    received = Finding(step="token", facts=(f"received in {duration(took)}",))
    return [received, _verified(given, authority, issuer)]


def _remedy(error: AuthSecError, looked: ProofSearch, config: AuthSecConfig) -> str:
    """Return the remedy of the proof search if a proof is missing or refused; otherwise return the usual advice."""
    return (looked.finding.remedy if error.reason in _OF_PROOFS else "") or advice(error, config)


def _verified(given: DelegationToken, authority: Authority, issuer: str) -> Finding:
    lives = fact_line("lives", duration(given.expires_in))
    try:
        identity, keys = verify_as_api(given, authority, issuer)
    except AuthSecError as error:
        if error.reason != "extra_missing":
            return Finding.failed("signature", error, _OF_TOKENS.get(error.reason, _CHANGED))
        told = [
            fact_line("audience", ", ".join(given.audience)),
            fact_line("actions", ", ".join(given.permissions)),
            lives,
        ]
        return Finding(step="token says", facts=(*told, "signature not verified here: this needs the extra `verify`"))
    facts = (f"verified {keys}", *claim_lines(identity), lives)
    if not is_unattested(identity):
        return Finding(step="token says", facts=facts)
    return Finding(
        step="token says",
        grade=Grade.AMBER,
        facts=facts,
        reason="unattested",
        remedy="Register a proof for this agent. Remove its unattested proof before production use.",
    )
