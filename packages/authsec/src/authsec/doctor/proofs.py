"""Every place where a proof is looked for, in the order of the SDK: what is there, and what it says about itself."""

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
from authsec.doctor.own_word import facts_of, seconds_over
from authsec.errors import AuthSecError
from authsec.terminal import Grade, duration
from authsec.wording import plain

_PATIENCE: Final = 3.0  # with a place that does not count
_RENEWED: Final = "See why whatever writes this token no longer renews it; or set the clock, if that is wrong."
_ENROLLED: Final = "Enrol this machine again: a new code on the agent's Connect page, then `authsec enrol`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """`source` is the place that counts: the first that has something; None where none has.

    `broken` says that what it has cannot be used, which ends the search.
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


def look(authority: Authority, config: AuthSecConfig, clock: Clock) -> Looked:
    """Ask each source, also those after the one that counts: a forgotten variable may stand before what was meant."""
    before: list[_Place] = []
    after: list[_Place] = []
    for source in authority.sources:
        found = before and before[-1].has_something
        deadline = clock.monotonic() + (_PATIENCE if found else config.timeout)
        (after if found else before).append(_asked(source, authority.proof_request(deadline)))
    later = [f"not used, as it comes later: {place.line()}" for place in after if place.has_something]
    *nothing, last = before
    lines = [place.line() for place in nothing]
    if last.error is not None:
        finding = Finding.failed("proof", last.error, advice(last.error, config), [*lines, *later])
        return Looked(finding=finding, source=last.source, broken=True)
    if last.proof is not None:
        now = int(clock.wall())
        facts = [*lines, f"used: {last.line()}", *facts_of(last.proof, now), *later]
        return Looked(finding=_counts(last.proof, facts, now), source=last.source)
    return Looked(finding=_none(before), source=None)


def _asked(source: CredentialSource, request: ProofRequest) -> _Place:
    try:
        proof = source.proof(request)
    except AuthSecError as error:
        return _Place(source=source, error=error)
    return _Place(source=source, proof=proof, looked_at="" if proof else source.looked_at(request))


def _counts(proof: Proof, facts: Sequence[str], now: int) -> Finding:
    over = seconds_over(proof, now)
    if not over:
        return Finding(step="proof", facts=tuple(facts))
    return Finding(
        step="proof",
        grade=Grade.AMBER,
        facts=(*facts, f"EXPIRED {duration(over)} ago, by this machine's clock"),
        reason="proof_expired",
        remedy=_RENEWED if proof.until is None else _ENROLLED,
    )


def _none(places: Sequence[_Place]) -> Finding:
    """Not an error by itself. A place that knows how to be filled says so."""
    remedies = [remedy for _, _, remedy in (place.looked_at.partition("\n") for place in places) if remedy]
    return Finding(
        step="proof",
        grade=Grade.AMBER,
        facts=("none found; only an unattested agent needs none", *(place.line() for place in places)),
        reason="no_proof",
        remedy="\n".join(remedies),
    )
