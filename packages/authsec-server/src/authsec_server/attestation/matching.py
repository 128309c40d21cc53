"""Match a workload with a client. It matches if it has all selectors of one of the client's proofs.

Pure. The selectors of the proof must be a subset of the workload's selectors, as in SPIRE. A proof without
selectors matches no workload. Selectors of one trusted issuer never match a proof of another issuer,
because two clusters may have the same namespaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from authsec_server.attestation.kinds import SPIFFE_ID
from authsec_server.attestation.model import Miss, Proved, SelectorRow, Validation, Verified
from authsec_server.clients.model import Client, Proof, ProofKind, Selector, spiffe_id
from authsec_server.issuers.model import Provenance, TrustedIssuer, TrustedIssuerKind, provenance

_CLIP = 255  # of what a token shows, in the audit log
_SHOWN = {
    "k8s:ns": "namespace",
    "k8s:sa": "service account",
    "k8s:pod-name": "pod",
    "k8s:pod-uid": "pod's uid",
    "k8s:node-name": "node",
    "k8s:container-name": "container",
    "k8s:container-image": "image",
    SPIFFE_ID: "SPIFFE ID",
}
_OFFLINE = {TrustedIssuerKind.KUBERNETES: Validation.OFFLINE}
_SHOWN_PREFIXES = {"k8s:pod-label:": "label", "k8s:pod-owner:": "owner"}


def proofs_of(client: Client, trusted_issuer_id: str, now: datetime) -> list[Proof]:
    """Return the client's unexpired proofs by selectors that name this trusted issuer."""
    return [
        proof
        for proof in client.proofs
        if proof.kind is ProofKind.SELECTORS and proof.trusted_issuer_id == trusted_issuer_id and proof.is_valid(now)
    ]


def match(
    client: Client, trusted_issuer: TrustedIssuer, verified: Verified, trust_domain: str, now: datetime
) -> Proved | Miss:
    """Return the proof that the workload satisfies, or the `Miss` that is closest to a match.

    A `Miss` that a look-up may turn into a match is closer than every other `Miss`. `verified` must come from this
    trusted issuer, and the client must have a proof that names the issuer.
    """
    misses = []
    for proof in proofs_of(client, trusted_issuer.id, now):
        outcome = compare(proof, trusted_issuer, verified, spiffe_id(trust_domain, client.id))
        if isinstance(outcome, Proved):
            return outcome
        misses.append(outcome)
    return max(misses, key=lambda miss: (miss.waits, miss.agreeing))


def compare(proof: Proof, trusted_issuer: TrustedIssuer, verified: Verified, own_id: str) -> Proved | Miss:
    """Compare the workload with one proof of the trusted issuer. `own_id` is the client's SPIFFE ID."""
    how = _how(proof, trusted_issuer)
    asked = _asked(proof, trusted_issuer, how, verified, own_id)
    if asked and all(map(verified.selectors.__contains__, asked)):
        return Proved(
            proof_id=proof.id,
            kind=proof.kind,
            trusted_issuer_kind=trusted_issuer.kind,
            trusted_issuer_id=trusted_issuer.id,
            trusted_issuer_revision=verified.trusted_issuer_revision,
            selectors=tuple([each.key for each in asked]),
            proved_by=how,
            validation=_OFFLINE.get(trusted_issuer.kind),
        )
    rows = _rows(asked, how, verified)
    return Miss(
        proof_id=proof.id,
        trusted_issuer_id=trusted_issuer.id,
        rows=tuple(rows),
        sentence=_sentence(rows),
        validation=_OFFLINE.get(trusted_issuer.kind),
    )


def required_keys(proof: Proof, trusted_issuer: TrustedIssuer) -> tuple[str, ...]:
    """Return the selector keys that the trusted issuer must prove for this proof.

    In a trust domain, SPIRE checks its selectors before it issues a JWT-SVID. So the JWT-SVID proves the SPIFFE ID
    in place of these selectors.
    """
    said = tuple(each.key for each in _said(proof, _how(proof, trusted_issuer)))
    if trusted_issuer.kind is TrustedIssuerKind.SPIFFE and proof.selectors:
        return (SPIFFE_ID, *(key for key in said if key != SPIFFE_ID))
    return said


def can_prove(proof: Proof, trusted_issuer: TrustedIssuer) -> bool:
    """Return whether the trusted issuer can prove every selector of the proof. False if the proof has no selectors."""
    asked = required_keys(proof, trusted_issuer)
    return bool(asked) and all(provenance(trusted_issuer, key) is not Provenance.NEVER for key in asked)


def validation_of(trusted_issuer: TrustedIssuer) -> Validation | None:
    """Return how tokens of the trusted issuer are validated. Return None if the kind of issuer has only one way."""
    reviewed = trusted_issuer.cluster is not None and trusted_issuer.cluster.reviews
    return Validation.TOKEN_REVIEW if reviewed else _OFFLINE.get(trusted_issuer.kind)


def _how(proof: Proof, trusted_issuer: TrustedIssuer) -> dict[str, Provenance]:
    """Return how the trusted issuer proves each selector of the proof.

    In a trust domain, the token always proves the SPIFFE ID.
    """
    how = {each.key: provenance(trusted_issuer, each.key) for each in proof.selectors}
    return how | {SPIFFE_ID: Provenance.TOKEN} if trusted_issuer.kind is TrustedIssuerKind.SPIFFE else how


def _said(proof: Proof, how: Mapping[str, Provenance]) -> list[Selector]:
    return [each for each in proof.selectors if how[each.key] is not Provenance.SPIRE]


def _asked(
    proof: Proof, trusted_issuer: TrustedIssuer, how: Mapping[str, Provenance], verified: Verified, own_id: str
) -> list[Selector]:
    """Return the selectors that the workload must have: in a trust domain, the SPIFFE ID in place of SPIRE's selectors.

    `required_keys` explains the reason.
    """
    if trusted_issuer.kind is TrustedIssuerKind.SPIFFE and proof.selectors:
        return _with_spiffe_id(_said(proof, how), verified, own_id)
    return list(proof.selectors)  # elsewhere there is no SPIRE


def _rows(asked: Sequence[Selector], how: Mapping[str, Provenance], verified: Verified) -> list[SelectorRow]:
    """Compare each required selector with all values of the workload for the same key."""
    shown: dict[str, list[str]] = {}
    for each in sorted(verified.selectors, key=lambda each: (each.key, each.value)):
        shown.setdefault(each.key, []).append(each.value)
    return [
        SelectorRow(
            key=each.key,
            registered=each.value,
            shown=_visible(", ".join(shown.get(each.key, ()))),
            agrees=each in verified.selectors,
            provenance=how[each.key],
            open=how[each.key] is Provenance.LOOKUP and not verified.looked_up,
        )
        for each in asked
    ]


def _with_spiffe_id(asked: Sequence[Selector], verified: Verified, own_id: str) -> list[Selector]:
    """Return the required selectors with a SPIFFE ID: the client's own, or the one that the proof registers."""
    own = Selector(key=SPIFFE_ID, value=own_id)
    registered = [each for each in asked if each.key == SPIFFE_ID]
    if own in verified.selectors or not registered:
        return [own, *(each for each in asked if each.key != SPIFFE_ID)]
    return list(asked)


def _visible(value: str) -> str:
    """Make a value from a workload safe for a page: limit the length, and replace characters that are not printable.

    Some of these characters reverse the direction of the text around them.
    """
    if value.isprintable():
        return value[:_CLIP]
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value[:_CLIP])


def _sentence(rows: Sequence[SelectorRow]) -> str:
    """Describe the rows in words: first the matches, then each difference."""
    if not rows:
        return "The proof has no selectors, so no workload can match it."
    agreeing = [_name(row.key) for row in rows if row.agrees]
    parts = [f"{', '.join(agreeing)} {'match' if len(agreeing) > 1 else 'matches'}"] if agreeing else []
    return "; ".join([*parts, *(_difference(row) for row in rows if not row.agrees)])


def _difference(row: SelectorRow) -> str:
    if row.open:
        return f"{_name(row.key)} was not looked up"
    said = f"is `{row.shown}`" if row.shown else "is missing"
    return f"{_name(row.key)} {said}, registered `{row.registered}`"


def _name(key: str) -> str:
    for prefix, name in _SHOWN_PREFIXES.items():
        if key.startswith(prefix):
            return f"{name} {key.removeprefix(prefix)}"
    return _SHOWN.get(key, key)
