"""What becomes of selectors that are still being typed: which trusted issuer their proof would rest on, and how that
proves each. Pure.

The rules are those of `binding_matching.with_trusted_issuer`; nothing is raised.
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
    """What would become of the proof."""

    RESTS = "rests"  # on `trusted_issuer`
    WAITS = "waits"  # no trusted issuer fits: it is kept, and cannot be proved yet
    CHOICE = "choice"  # several trusted issuers can prove it: one has to be named
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """`trusted_issuer` is the one that proves it. `selectors` say how it proves each, in the order given.

    `problem` and `remedy` are there where a trusted issuer has to be named, or the proof would be refused.
    """

    outlook: Outlook
    trusted_issuer: TrustedIssuer | None = None
    selectors: tuple[SelectorStatus, ...] = ()
    problem: str = ""
    remedy: str = ""

    @property
    def caution(self) -> str:
        """Who else would be let in; empty if nobody."""
        return breadth([each.selector for each in self.selectors])


def foresee(
    platform: Platform,
    selectors: Sequence[Selector],
    registered: Sequence[TrustedIssuer],
    *,
    named: str = "",
    trust_domain: str,
) -> Foresight:
    """What becomes of these selectors. `registered`: the trusted issuers for the platform; `named`: the id of one.

    Before there is any selector, it says which trusted issuer will be asked, if that is clear.
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
            outlook=Outlook.REFUSED, problem="There is no such trusted issuer any more.", remedy="Choose another."
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
