"""The search for a proof in every source, in the SDK's order, and the claims of each proof.

This module verifies no proof. The report shows nothing that somebody could send as a proof: no token, no
signature, no `jti`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from authsec.authority import Authority
from authsec.clock import Clock
from authsec.config import AuthSecConfig, export_line, with_scheme
from authsec.credentials import CredentialSource, Proof, ProofRequest
from authsec.credentials.source import WrongProofAudience
from authsec.credentials.workload_token import WorkloadToken
from authsec.doctor.advice import advice
from authsec.doctor.report import Finding
from authsec.errors import AuthSecError
from authsec.safe_text import plain
from authsec.terminal import Grade, duration
from authsec.token_report import FACT_WIDTH, fact_line

_PATIENCE: Final = 3.0  # seconds for each source after the first source with a proof
_LONGEST: Final = 300  # characters of an address that the report offers to paste
_RENEWED: Final = "Check why this token is no longer renewed."
_ENROLLED: Final = "Enrol this machine again: create a new code on the agent's Connect tab, then run `authsec enrol`."

_OF_A_JOB: Final = ("repository", "ref", "environment", "job_workflow_ref")  # claims of a GitHub Actions token
_OF_A_POD: Final = (
    ("k8s:ns", ("namespace",)),
    ("k8s:sa", ("serviceaccount", "name")),
    ("k8s:pod-name", ("pod", "name")),
    ("k8s:node-name", ("node", "name")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofSearch:
    """The result of the search for a proof. `source` is the first source with a proof or an error, or None.

    `broken` means that the proof of this source cannot be used. With such a proof, the SDK stops the search and
    requests no token.
    """

    finding: Finding
    source: CredentialSource | None
    broken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    source: CredentialSource
    proof: Proof | None = None
    error: AuthSecError | None = None
    looked_at: str = ""

    @property
    def has_something(self) -> bool:
        return self.proof is not None or self.error is not None

    def line(self) -> str:
        if self.error is not None:
            return plain(f"broken: {self.error}", 200)
        return plain(self.proof.source if self.proof else self.looked_at.partition("\n")[0], 300)


def check_proofs(authority: Authority, config: AuthSecConfig, clock: Clock, *, certain: bool) -> ProofSearch:
    """Search every source for a proof, even after the first source with a proof.

    The report lists the later sources too, because a forgotten variable may override the intended source. If
    `certain` is False, the audience that the proof needs is not known.
    """
    before: list[_Place] = []
    after: list[_Place] = []
    for source in authority.sources:
        found = before and before[-1].has_something
        deadline = clock.monotonic() + (_PATIENCE if found else config.timeout)
        (after if found else before).append(_asked(source, authority.proof_request(deadline)))
    later = [f"not used, because another proof comes first: {place.line()}" for place in after if place.has_something]
    *nothing, last = before
    lines = [place.line() for place in nothing]
    if isinstance(last.error, WrongProofAudience) and not certain:
        facts = [*lines, f"found: {last.error.source}", fact_line("made for", ", ".join(last.error.made_for)), *later]
        return ProofSearch(finding=_of_another(last.error, facts), source=last.source)
    if last.error is not None:
        otherwise = "correct the proof, as the text above says"
        remedy = _another_authority(last.error, otherwise) or advice(last.error, config)
        finding = Finding.failed("proof", last.error, remedy, [*lines, *later])
        return ProofSearch(finding=finding, source=last.source, broken=True)
    if last.proof is not None:
        now = int(clock.wall())
        facts = [*lines, f"used: {last.line()}", *proof_claims(last.proof, now), *later]
        return ProofSearch(finding=_proof_found(last.proof, facts, now), source=last.source)
    return ProofSearch(finding=_none(before), source=None)


def _asked(source: CredentialSource, request: ProofRequest) -> _Place:
    try:
        proof = source.proof(request)
    except AuthSecError as error:
        return _Place(source=source, error=error)
    return _Place(source=source, proof=proof, looked_at="" if proof else source.looked_at(request))


def _proof_found(proof: Proof, facts: Sequence[str], now: int) -> Finding:
    over = seconds_expired(proof, now)
    if not over:
        return Finding(step="proof", facts=tuple(facts))
    return Finding(
        step="proof",
        grade=Grade.AMBER,
        facts=(*facts, f"EXPIRED {duration(over)} ago, by this machine's clock"),
        reason="proof_expired",
        remedy=_RENEWED if proof.until is None else _ENROLLED,
    )


def _of_another(error: WrongProofAudience, facts: Sequence[str]) -> Finding:
    """Report a proof for another audience, when the required audience is not known.

    The finding is a warning and not a failure: AUTHSEC_BASE_URL may be wrong, and the proof may be right.
    """
    remedy = _another_authority(error, "")
    return Finding(
        step="proof", grade=Grade.AMBER, facts=tuple(facts), reason="made_for_another", remedy=remedy,
        explains=bool(remedy),
    )  # fmt: skip


def _another_authority(error: AuthSecError, otherwise: str) -> str:
    """Return a remedy that asks whether AUTHSEC_BASE_URL is wrong. `otherwise` says what to do if it is right.

    Return `""` if no audience of the proof can be the address of an authority.
    """
    if not isinstance(error, WrongProofAudience):
        return ""
    meant = next((each for each in error.made_for if _can_be_an_authority(each)), "")
    if not meant or meant == os.environ.get("AUTHSEC_BASE_URL"):
        return ""
    asked = f"If {meant} is not your authority, {otherwise}." if otherwise else "Check AUTHSEC_BASE_URL."
    to_set = export_line("AUTHSEC_BASE_URL", meant)
    return f"Your proof is for {meant}. {asked} If {meant} is your authority, set:\n    {to_set}"


def _can_be_an_authority(name: str) -> bool:
    """Whether `name` has the form of an authority's address, and is safe to paste into a shell.

    The API server of a Kubernetes cluster is excluded, because the token of every pod names this server.
    """
    scheme, _, address = name.partition("://")
    written_so = scheme in {"http", "https"} and len(name) <= _LONGEST and with_scheme(address) is not None
    return written_so and not address.startswith("kubernetes.default")


def _none(places: Sequence[_Place]) -> Finding:
    """Report as a warning that no source has a proof. Include the remedies of the sources."""
    remedies = [remedy for _, _, remedy in (place.looked_at.partition("\n") for place in places) if remedy]
    return Finding(
        step="proof",
        grade=Grade.AMBER,
        facts=("no proof found; only an unattested agent needs no proof", *(place.line() for place in places)),
        reason="no_proof",
        remedy="\n".join(remedies),
    )


def proof_claims(proof: Proof, now: int) -> list[str]:
    """Return the claims of the proof, one a line. Anybody may see these lines."""
    token = _token(proof)
    if token is None:
        return ["the proof is not a token, so it has no time of expiry"]
    claims = token.claims
    if claims.get("iss") == claims.get("sub"):  # an assertion of the agent about itself (RFC 7523 §3)
        facts = [fact_line("key", token.key_id() or "unnamed"), fact_line("made for", token.audiences_in_words())]
        if proof.until is not None and proof.until > now:
            facts.append(fact_line("enrolled", f"for {duration(proof.until - now)} from now"))
        return facts
    rows = [("issuer", claims.get("iss")), ("made for", token.audiences_in_words()), ("subject", claims.get("sub"))]
    rows += [(name, claims.get(name)) for name in _OF_A_JOB if name in claims]
    rows += _pod(claims.get("kubernetes.io"))
    rows += [("expires", f"in {duration(token.seconds_left(now))}")] if token.seconds_left(now) else []
    shown = [(name, value) for name, value in rows if isinstance(value, str)]
    width = max([FACT_WIDTH - 1, *(len(name) for name, _ in shown)])
    return [fact_line(name, value, width) for name, value in shown]


def seconds_expired(proof: Proof, now: int) -> int:
    """Return the seconds since the proof expired, or since the key that made it expired.

    The result is 0 if the proof has not expired, or if its expiry is not known.
    """
    if proof.until is not None:
        return max(0, int(now - proof.until))
    token = _token(proof)
    return token.seconds_over(now) if token else 0


def _token(proof: Proof) -> WorkloadToken | None:
    kind, _, value = proof.authorization.partition(" ")
    return WorkloadToken.of(value) if kind == "Bearer" else None


def _pod(named: object) -> list[tuple[str, Any]]:
    """Return the values of the Kubernetes claims, each under the name of its selector, for example `k8s:ns`."""
    return [(selector, _at(named, path)) for selector, path in _OF_A_POD]


def _at(value: object, path: tuple[str, ...]) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
