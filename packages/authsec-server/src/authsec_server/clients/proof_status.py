"""What a proof is worth at the moment, in plain words: how it is proved, or what it lacks. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from authsec_server.clients.model import Client, Proof, ProofKind
from authsec_server.clients.proofs import platform_of


class ProofState(StrEnum):
    """Whether the proof gets its client in."""

    PROVES = "proves"
    CANNOT_PROVE = "cannot_prove"
    UNATTESTED = "unattested"  # it gets anybody in
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofStatus:
    """`heading` says it in two or three words, `explanation` in a sentence; `missing` is what it lacks, if anything."""

    state: ProofState
    heading: str
    explanation: str
    missing: str = ""


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
    state=ProofState.CANNOT_PROVE,
    heading="Cannot prove itself yet",
    explanation="The agent would show a secret that it shares with this authority.",
    missing="This authority does not check secrets. Give the client a key pair.",
)
_VOUCHED_FOR = ProofStatus(
    state=ProofState.PROVES,
    heading="Proved by a trust source",
    explanation="A trust source vouches that the workload has all of these selectors; this authority checks its word.",
)
_EXPIRED = ProofStatus(
    state=ProofState.EXPIRED,
    heading="Expired",
    explanation="It gets nobody in any more.",
    missing="Add another proof where one is still needed, and remove this.",
)


def proof_status(proof: Proof, now: datetime) -> ProofStatus:
    """What the proof is worth at that time."""
    return _worth(proof) if proof.stands(now) else _EXPIRED


def removal_caution(client: Client, proof: Proof, now: datetime) -> str:
    """What removing the proof brings about beyond the end of its tokens; empty if nothing."""
    rest = replace(client, proofs=tuple(each for each in client.proofs if each.id != proof.id))
    worked, works = (each.can_prove_itself(now) or each.unattested(now) for each in (client, rest))
    if not rest.proofs:
        return f"This is the last proof of {client.name}: it gets no token until it has another."
    if worked and not works:
        return f"No other proof of {client.name} can be checked: it gets no token until one can."
    return ""


def _worth(proof: Proof) -> ProofStatus:
    if proof.kind is ProofKind.SELECTORS:
        return _selectors(proof)
    return {ProofKind.KEY_PAIR: _KEY_PAIR, ProofKind.UNATTESTED: _UNATTESTED, ProofKind.SECRET: _SECRET}[proof.kind]


def _selectors(proof: Proof) -> ProofStatus:
    if proof.source_id is not None:
        return _VOUCHED_FOR
    return ProofStatus(
        state=ProofState.CANNOT_PROVE,
        heading="Cannot prove itself yet",
        explanation=f"{platform_of(proof).shown} would vouch that the workload has all of these selectors.",
        missing="No trust source vouches for it yet, so this authority cannot check these selectors. Until one does, a "
        "key pair gets the agent its tokens.",
    )
