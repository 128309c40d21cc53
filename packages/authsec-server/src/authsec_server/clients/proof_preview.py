"""Preview of the selectors that a person is typing, before the proof is stored.

The preview shows the trusted issuer, and how the issuer proves each selector. The rules are those of
`binding_matching.with_trusted_issuer`. The functions are pure and raise nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from authsec_server.clients.binding_matching import chosen, fits, require_suitable
from authsec_server.clients.model import Platform, Selector
from authsec_server.clients.proof_status import SelectorStatus, breadth
from authsec_server.failures import Invalid
from authsec_server.issuers.model import TrustedIssuer, provenance


class PreviewState(StrEnum):
    """The expected result if the proof is stored as typed."""

    PROVED = "proved"  # by `trusted_issuer`
    NO_ISSUER = "no_issuer"  # no trusted issuer fits: it is kept, and cannot be proved yet
    CHOICE = "choice"  # several trusted issuers can prove it: one has to be named
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofPreview:
    """Preview of a proof: the trusted issuer, and how the issuer proves each selector, in the order given.

    `problem` and `remedy` are set in two cases: the request must name a trusted issuer, or the server would
    refuse the proof.
    """

    state: PreviewState
    trusted_issuer: TrustedIssuer | None = None
    selectors: tuple[SelectorStatus, ...] = ()
    problem: str = ""
    remedy: str = ""

    @property
    def caution(self) -> str:
        """Return which other workloads or jobs could act as the agent. Return "" if no others could."""
        return breadth([each.selector for each in self.selectors])


def preview_proof(
    platform: Platform,
    selectors: Sequence[Selector],
    registered: Sequence[TrustedIssuer],
    *,
    named: str = "",
    trust_domain: str,
) -> ProofPreview:
    """Return the preview for these selectors.

    `registered` are the trusted issuers that suit the platform. `named` is the id of the issuer that the person
    has chosen. Without selectors, the preview names a trusted issuer only if exactly one fits.
    """
    fitting = [
        trusted_issuer for trusted_issuer in registered if fits(platform, selectors, trusted_issuer, trust_domain)
    ]
    if named:
        return _of_named(platform, selectors, registered, named, trust_domain)
    if not selectors:
        return _of_nothing(fitting)
    try:
        trusted_issuer = chosen(platform, selectors, registered, trust_domain)
    except Invalid as problem:
        if problem.field == "trusted_issuer":
            return ProofPreview(state=PreviewState.CHOICE, problem=problem.message, remedy=problem.remedy)
        return _refused(selectors, fitting[0], problem)
    return _proved(selectors, trusted_issuer) if trusted_issuer else _waiting(selectors)


def _of_named(
    platform: Platform,
    selectors: Sequence[Selector],
    registered: Sequence[TrustedIssuer],
    named: str,
    trust_domain: str,
) -> ProofPreview:
    trusted_issuer = next((each for each in registered if each.id == named), None)
    if trusted_issuer is None:
        return ProofPreview(
            state=PreviewState.REFUSED,
            problem="This trusted issuer no longer exists.",
            remedy="Choose another trusted issuer.",
        )
    try:
        require_suitable(platform, selectors, trusted_issuer, trust_domain)
    except Invalid as problem:
        return _refused(
            selectors if fits(platform, selectors, trusted_issuer, trust_domain) else (), trusted_issuer, problem
        )
    return _proved(selectors, trusted_issuer)


def _of_nothing(fitting: Sequence[TrustedIssuer]) -> ProofPreview:
    if not fitting:
        return _waiting(())
    return _proved((), fitting[0]) if len(fitting) == 1 else ProofPreview(state=PreviewState.CHOICE)


def _waiting(selectors: Sequence[Selector]) -> ProofPreview:
    return ProofPreview(
        state=PreviewState.NO_ISSUER, selectors=tuple(SelectorStatus(selector=each) for each in selectors)
    )


def _proved(selectors: Sequence[Selector], trusted_issuer: TrustedIssuer) -> ProofPreview:
    return ProofPreview(
        state=PreviewState.PROVED, trusted_issuer=trusted_issuer, selectors=_proved_by(selectors, trusted_issuer)
    )


def _refused(selectors: Sequence[Selector], trusted_issuer: TrustedIssuer, problem: Invalid) -> ProofPreview:
    return ProofPreview(
        state=PreviewState.REFUSED,
        trusted_issuer=trusted_issuer,
        selectors=_proved_by(selectors, trusted_issuer),
        problem=problem.message,
        remedy=problem.remedy,
    )


def _proved_by(selectors: Sequence[Selector], trusted_issuer: TrustedIssuer) -> tuple[SelectorStatus, ...]:
    return tuple(SelectorStatus(selector=each, provenance=provenance(trusted_issuer, each.key)) for each in selectors)
