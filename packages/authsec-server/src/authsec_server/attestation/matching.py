"""Whether a workload is the client: all selectors of one of its proofs are among those that the proof's source says.

Pure. Entry ⊆ workload, as SPIRE matches; an empty entry matches nothing. Selectors of one source are never held against
a proof of another: two clusters may well have the same namespaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from authsec_server.attestation import spiffe
from authsec_server.attestation.model import Miss, Proved, SelectorRow, Verified
from authsec_server.clients.model import Client, Proof, ProofKind, Selector, spiffe_id
from authsec_server.sources.model import Provenance, SourceKind, TrustSource, provenance

_CLIP = 255  # of what a token shows, in the journal
_SHOWN = {
    "k8s:ns": "namespace",
    "k8s:sa": "service account",
    "k8s:pod-name": "pod",
    "k8s:pod-uid": "pod's uid",
    "k8s:node-name": "node",
    spiffe.KEY: "SPIFFE ID",
}


def proofs_of(client: Client, source_id: str, now: datetime) -> list[Proof]:
    """The client's proofs that rest on this source's word and stand."""
    return [
        proof
        for proof in client.proofs
        if proof.kind is ProofKind.SELECTORS and proof.source_id == source_id and proof.stands(now)
    ]


def match(client: Client, source: TrustSource, verified: Verified, trust_domain: str, now: datetime) -> Proved | Miss:
    """The proof that the workload satisfies, or the one that it came closest to.

    `verified` must be of `source`, and the client must hold a proof that rests on it.
    """
    misses = []
    for proof in proofs_of(client, source.id, now):
        outcome = held_against(proof, source, verified, spiffe_id(trust_domain, client.id))
        if isinstance(outcome, Proved):
            return outcome
        misses.append(outcome)
    return max(misses, key=lambda miss: miss.agreeing)


def held_against(proof: Proof, source: TrustSource, verified: Verified, own_id: str) -> Proved | Miss:
    """Whether the workload satisfies this one proof, which rests on the source. `own_id` is the client's SPIFFE ID."""
    asked = _asked(proof, source, verified, own_id)
    if asked and verified.selectors.issuperset(asked):
        return Proved(
            proof_id=proof.id,
            kind=proof.kind,
            source_kind=source.kind,
            source_id=source.id,
            source_revision=verified.source_revision,
            selectors=tuple([each.key for each in asked]),
        )
    rows = _rows(asked, verified)
    return Miss(proof_id=proof.id, source_id=source.id, rows=tuple(rows), sentence=_sentence(rows))


def asked_of(proof: Proof, source: TrustSource) -> tuple[str, ...]:
    """The keys of what the source has to say for the proof to hold; what SPIRE enforces it need not say."""
    if source.kind is SourceKind.SPIFFE and proof.selectors:
        return (spiffe.KEY, *(each.key for each in _said(proof, source) if each.key != spiffe.KEY))
    return tuple(each.key for each in _said(proof, source))


def can_hold(proof: Proof, source: TrustSource) -> bool:
    """Whether the source can say all that the proof asks for. Of nothing to say, nothing holds."""
    asked = asked_of(proof, source)
    return bool(asked) and all(provenance(source, key) is not Provenance.NEVER for key in asked)


def _said(proof: Proof, source: TrustSource) -> list[Selector]:
    return [each for each in proof.selectors if provenance(source, each.key) is not Provenance.SPIRE]


def _asked(proof: Proof, source: TrustSource, verified: Verified, own_id: str) -> list[Selector]:
    """What the workload has to show. The SPIFFE ID stands for what SPIRE enforces."""
    asked = _said(proof, source)
    if source.kind is SourceKind.SPIFFE and proof.selectors:
        return _with_spiffe_id(asked, verified, own_id)
    return asked


def _rows(asked: Sequence[Selector], verified: Verified) -> list[SelectorRow]:
    """What the proof asks for beside what was shown."""
    shown = {each.key: each.value for each in sorted(verified.selectors, key=lambda each: (each.key, each.value))}
    return [
        SelectorRow(
            key=each.key,
            registered=each.value,
            shown=_visible(shown.get(each.key, "")),
            agrees=each in verified.selectors,
        )
        for each in asked
    ]


def _with_spiffe_id(asked: Sequence[Selector], verified: Verified, own_id: str) -> list[Selector]:
    """A workload of a trust domain shows the client's own SPIFFE ID, or one that was registered for it."""
    own = Selector(key=spiffe.KEY, value=own_id)
    registered = [each for each in asked if each.key == spiffe.KEY]
    if own in verified.selectors or not registered:
        return [own, *(each for each in asked if each.key != spiffe.KEY)]
    return list(asked)


def _visible(value: str) -> str:
    """What somebody else wrote, fit for a page: nothing that turns the text around it, and not for ever."""
    if value.isprintable():
        return value[:_CLIP]
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value[:_CLIP])


def _sentence(rows: Sequence[SelectorRow]) -> str:
    """In words: what matches, then what differs and how."""
    if not rows:
        return "The proof has no selectors, and so nothing satisfies it."
    agreeing = [_name(row.key) for row in rows if row.agrees]
    parts = [f"{', '.join(agreeing)} {'match' if len(agreeing) > 1 else 'matches'}"] if agreeing else []
    return "; ".join([*parts, *(_difference(row) for row in rows if not row.agrees)])


def _difference(row: SelectorRow) -> str:
    said = f"is `{row.shown}`" if row.shown else "is not shown"
    return f"{_name(row.key)} {said}, registered `{row.registered}`"


def _name(key: str) -> str:
    return _SHOWN.get(key, key)
