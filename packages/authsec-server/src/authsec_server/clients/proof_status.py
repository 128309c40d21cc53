"""What a proof is worth at the moment, in plain words: how it is proved, or what it lacks. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from authsec_server.clients.breadth import breadth
from authsec_server.clients.model import Client, Proof, ProofKind, Selector
from authsec_server.clients.proofs import platform_of
from authsec_server.clients.vouching import what_fits, what_proves
from authsec_server.sources.model import Provenance, TrustSource, provenance, shown_provenance


class ProofState(StrEnum):
    """Whether the proof gets its client in."""

    PROVES = "proves"
    WEAK = "weak"  # it proves that somebody has read a secret, or sits at an enrolled machine
    CANNOT_PROVE = "cannot_prove"
    SOURCE_DISABLED = "source_disabled"
    UNATTESTED = "unattested"  # it gets anybody in
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorStatus:
    """A selector, and how its trust source proves it; None where there is no source yet."""

    selector: Selector
    provenance: Provenance | None = None

    @property
    def shown(self) -> str:
        """How it is proved, in words."""
        return shown_provenance(self.selector.key, self.provenance) if self.provenance else "nobody vouches for it yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofStatus:
    """`heading` says it in two or three words, `explanation` in a sentence; `missing` is what it lacks, and `caution`
    who else its selectors would let in, if anything.

    `selectors` say how each is proved, in the order of the proof's; an expired proof has none.
    """

    state: ProofState
    heading: str
    explanation: str
    missing: str = ""
    caution: str = ""
    selectors: tuple[SelectorStatus, ...] = ()


_KEY_PAIR = ProofStatus(
    state=ProofState.PROVES,
    heading="Proved by signature",
    explanation="The agent signs each request for a token with its private key, which never leaves its machine; this "
    "authority checks the signature with the public key.",
)
_UNATTESTED = ProofStatus(
    state=ProofState.UNATTESTED,
    heading="Proves nothing",
    explanation="Anybody who knows the client_id gets this client's tokens: it is a name, not a secret.",
    missing="Give the client a key pair, then remove this.",
)
_SECRET = ProofStatus(
    state=ProofState.WEAK,
    heading="Weak: a secret",
    explanation="The agent sends a secret that was shown once, when it was made; this authority keeps a hash of it. "
    "Whoever reads it once has it until it is rotated. Where the agent can sign, a key pair is stronger.",
)
_EXPIRED = ProofStatus(
    state=ProofState.EXPIRED,
    heading="Expired",
    explanation="It gets nobody in any more.",
    missing="Add another proof where one is still needed, and remove this.",
)


_ENROLLED_ONCE = ProofStatus(
    state=ProofState.EXPIRED,
    heading="Expired",
    explanation="The machine's hours are over: it gets nobody in any more. The next enrolment takes it away.",
)


def proof_status(proof: Proof, source: TrustSource | None, now: datetime) -> ProofStatus:
    """What the proof is worth at that time. `source` is the trust source that it rests on, if it does on one."""
    if not proof.stands(now):
        return _ENROLLED_ONCE if proof.kind is ProofKind.ENROLLED_KEY else _EXPIRED
    return _worth(proof, source)


def removal_caution(client: Client, proof: Proof, now: datetime) -> str:
    """What removing the proof brings about beyond the end of its tokens; empty if nothing."""
    rest = replace(client, proofs=tuple(each for each in client.proofs if each.id != proof.id))
    worked, works = (each.can_prove_itself(now) or each.unattested(now) for each in (client, rest))
    if not rest.proofs:
        return f"This is the last proof of {client.name}: it gets no token until it has another."
    if worked and not works:
        return f"No other proof of {client.name} can be checked: it gets no token until one can."
    return ""


def _worth(proof: Proof, source: TrustSource | None) -> ProofStatus:
    if proof.kind is ProofKind.ENROLLED_KEY:
        return _enrolled(proof)
    if proof.kind is ProofKind.SELECTORS:
        status = _without_source(proof) if source is None else _vouched_for(proof, source)
        return replace(status, caution=breadth(proof.selectors))
    return {ProofKind.KEY_PAIR: _KEY_PAIR, ProofKind.UNATTESTED: _UNATTESTED, ProofKind.SECRET: _SECRET}[proof.kind]


def _enrolled(proof: Proof) -> ProofStatus:
    machine = f"The machine {proof.machine!r}" if proof.machine else "A machine"
    return ProofStatus(
        state=ProofState.WEAK,
        heading="Enrolled for some hours",
        explanation=f"{machine} made itself this key, with a one-time code of {proof.enrolled_by}. Until it expires, "
        "whoever runs programs there can be this agent.",
    )


def _vouched_for(proof: Proof, source: TrustSource) -> ProofStatus:
    shown = tuple(SelectorStatus(selector=each, provenance=provenance(source, each.key)) for each in proof.selectors)
    never = next((each.selector.key for each in shown if each.provenance is Provenance.NEVER), "")
    name = f"The {source.kind.shown} {source.name!r}"
    if never:  # the source was edited since
        return ProofStatus(
            state=ProofState.CANNOT_PROVE,
            heading="Cannot prove itself",
            explanation=f"{name} does not prove {never} as it is set up, and all of these selectors must be proved.",
            missing=what_proves([never], source),
            selectors=shown,
        )
    if not source.enabled:
        return ProofStatus(
            state=ProofState.SOURCE_DISABLED,
            heading="Trust source disabled",
            explanation=f"{name} would vouch that the workload has all of these selectors, but it is disabled.",
            missing=f"Enable the trust source {source.name!r}, or give the client a key pair.",
            selectors=shown,
        )
    if not proof.source_enabled:  # it is enabled, so it was edited: its workloads are others by now
        return ProofStatus(
            state=ProofState.CANNOT_PROVE,
            heading="Cannot prove itself",
            explanation=f"{name} was edited since, and cannot know such a workload any more.",
            missing="Add a proof that rests on a trust source which knows it, and remove this one.",
            selectors=shown,
        )
    return ProofStatus(
        state=ProofState.PROVES,
        heading="Proved by a trust source",
        explanation=f"{name} vouches that the workload has all of these selectors; this authority checks its word.",
        selectors=shown,
    )


def _without_source(proof: Proof) -> ProofStatus:
    platform = platform_of(proof)
    return ProofStatus(
        state=ProofState.CANNOT_PROVE,
        heading="Cannot prove itself yet",
        explanation=f"{platform.shown} would know that the workload has all of these selectors.",
        missing=f"No trust source vouches for it yet. {what_fits(platform)}. Until there is one, a key pair gets the "
        "agent its tokens.",
        selectors=tuple(SelectorStatus(selector=each) for each in proof.selectors),
    )
