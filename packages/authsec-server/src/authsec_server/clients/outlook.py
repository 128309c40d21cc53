"""What becomes of selectors that are still being typed: which trust source their proof would rest on, and how that
proves each. Pure.

It foresees what `choosing.sourced` does with the same selectors, by the same rules, and raises nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from authsec_server.clients.binding_matching import chosen, fits, require_suitable
from authsec_server.clients.model import Platform, Selector
from authsec_server.clients.proof_status import SelectorStatus, breadth
from authsec_server.failures import Invalid
from authsec_server.sources.model import TrustSource, provenance


class Outlook(StrEnum):
    """What would become of the proof."""

    RESTS = "rests"  # on `source`
    WAITS = "waits"  # no source fits: it is kept, and cannot be proved yet
    CHOICE = "choice"  # several sources could vouch for it: one has to be named
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """`source` is the one whose word would count. `selectors` say how it proves each, in the order they were given.

    `problem` and `remedy` are there where a source has to be named, or the proof would be refused.
    """

    outlook: Outlook
    source: TrustSource | None = None
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
    registered: Sequence[TrustSource],
    *,
    named: str = "",
    trust_domain: str,
) -> Foresight:
    """What becomes of these selectors. `registered` are the sources of the platform's kinds, `named` the id of one.

    Before there is any selector, it says which source will be asked, if that is clear.
    """
    fitting = [source for source in registered if fits(platform, selectors, source, trust_domain)]
    if named:
        return _of_named(platform, selectors, registered, named, trust_domain)
    if not selectors:
        return _of_nothing(fitting)
    try:
        source = chosen(platform, selectors, registered, trust_domain)
    except Invalid as problem:
        if problem.field == "source":
            return Foresight(outlook=Outlook.CHOICE, problem=problem.message, remedy=problem.remedy)
        return _refused(selectors, fitting[0], problem)
    return _resting(selectors, source) if source else _waiting(selectors)


def _of_named(
    platform: Platform, selectors: Sequence[Selector], registered: Sequence[TrustSource], named: str, trust_domain: str
) -> Foresight:
    source = next((each for each in registered if each.id == named), None)
    if source is None:
        return Foresight(
            outlook=Outlook.REFUSED, problem="There is no such trust source any more.", remedy="Choose another."
        )
    try:
        require_suitable(platform, selectors, source, trust_domain)
    except Invalid as problem:
        return _refused(selectors if fits(platform, selectors, source, trust_domain) else (), source, problem)
    return _resting(selectors, source)


def _of_nothing(fitting: Sequence[TrustSource]) -> Foresight:
    if not fitting:
        return _waiting(())
    return _resting((), fitting[0]) if len(fitting) == 1 else Foresight(outlook=Outlook.CHOICE)


def _waiting(selectors: Sequence[Selector]) -> Foresight:
    return Foresight(outlook=Outlook.WAITS, selectors=tuple(SelectorStatus(selector=each) for each in selectors))


def _resting(selectors: Sequence[Selector], source: TrustSource) -> Foresight:
    return Foresight(outlook=Outlook.RESTS, source=source, selectors=_proved_by(selectors, source))


def _refused(selectors: Sequence[Selector], source: TrustSource, problem: Invalid) -> Foresight:
    return Foresight(
        outlook=Outlook.REFUSED,
        source=source,
        selectors=_proved_by(selectors, source),
        problem=problem.message,
        remedy=problem.remedy,
    )


def _proved_by(selectors: Sequence[Selector], source: TrustSource) -> tuple[SelectorStatus, ...]:
    return tuple(SelectorStatus(selector=each, provenance=provenance(source, each.key)) for each in selectors)
