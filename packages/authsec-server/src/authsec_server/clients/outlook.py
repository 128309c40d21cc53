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


class Outlook(StrEnum):
    """The expected result if the proof is stored as typed."""

    RESTS = "rests"  # on `trusted_issuer`
    WAITS = "waits"  # no trusted issuer fits: it is kept, and cannot be proved yet
    CHOICE = "choice"  # several trusted issuers can prove it: one has to be named
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """Preview of a proof: the trusted issuer, and how the issuer proves each selector, in the order given.

    `problem` and `remedy` are set in two cases: the request must name a trusted issuer, or the server would
    refuse the proof.
    """

    outlook: Outlook
    trusted_issuer: TrustedIssuer | None = None
    selectors: tuple[SelectorStatus, ...] = ()
    problem: str = ""
    remedy: str = ""

    @property
    def caution(self) -> str:
        """Return which other workloads or jobs could act as the agent. Return "" if no others could."""
        return breadth([each.selector for each in self.selectors])


def foresee(
    platform: Platform,
    selectors: Sequence[Selector],
    registered: Sequence[TrustedIssuer],
    *,
    named: str = "",
    trust_domain: str,
) -> Foresight:
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
            return Foresight(outlook=Outlook.CHOICE, problem=problem.message, remedy=problem.remedy)
        return _refused(selectors, fitting[0], problem)
    return _resting(selectors, trusted_issuer) if trusted_issuer else _waiting(selectors)


def _of_named(
    platform: Platform,
    selectors: Sequence[Selector],
    registered: Sequence[TrustedIssuer],
    named: str,
    trust_domain: str,
) -> Foresight:
    trusted_issuer = next((each for each in registered if each.id == named), None)
    if trusted_issuer is None:
        return Foresight(
            outlook=Outlook.REFUSED, problem="This trusted issuer no longer exists.", remedy="Choose another one."
        )
    try:
        require_suitable(platform, selectors, trusted_issuer, trust_domain)
    except Invalid as problem:
        return _refused(
            selectors if fits(platform, selectors, trusted_issuer, trust_domain) else (), trusted_issuer, problem
        )
    return _resting(selectors, trusted_issuer)


def _of_nothing(fitting: Sequence[TrustedIssuer]) -> Foresight:
    if not fitting:
        return _waiting(())
    return _resting((), fitting[0]) if len(fitting) == 1 else Foresight(outlook=Outlook.CHOICE)


def _waiting(selectors: Sequence[Selector]) -> Foresight:
    return Foresight(outlook=Outlook.WAITS, selectors=tuple(SelectorStatus(selector=each) for each in selectors))


def _resting(selectors: Sequence[Selector], trusted_issuer: TrustedIssuer) -> Foresight:
    return Foresight(
        outlook=Outlook.RESTS, trusted_issuer=trusted_issuer, selectors=_proved_by(selectors, trusted_issuer)
    )


def _refused(selectors: Sequence[Selector], trusted_issuer: TrustedIssuer, problem: Invalid) -> Foresight:
    return Foresight(
        outlook=Outlook.REFUSED,
        trusted_issuer=trusted_issuer,
        selectors=_proved_by(selectors, trusted_issuer),
        problem=problem.message,
        remedy=problem.remedy,
    )


def _proved_by(selectors: Sequence[Selector], trusted_issuer: TrustedIssuer) -> tuple[SelectorStatus, ...]:
    return tuple(SelectorStatus(selector=each, provenance=provenance(trusted_issuer, each.key)) for each in selectors)
