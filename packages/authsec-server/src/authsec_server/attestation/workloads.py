"""Workloads: whose word the token is, what it says, and whether that is the client. A new kind is one line here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from authsec.jose import PublicKey, UnverifiedJws

from authsec_server.attestation import kubernetes, oidc, spiffe
from authsec_server.attestation.cluster import GONE, Clusters
from authsec_server.attestation.evidence_cache import RememberedEvidence
from authsec_server.attestation.matching import match
from authsec_server.attestation.model import (
    Evidence,
    Failed,
    Miss,
    Proved,
    RefusalReason,
    Refused,
    Unchecked,
    Validation,
    Verified,
    invalid,
)
from authsec_server.attestation.workload_tokens import (
    DAY,
    FindKey,
    Kind,
    complaint,
    malformed,
    signed_by,
    speaks_for,
)
from authsec_server.clients.model import Client, ProofKind
from authsec_server.sources.model import KeysUnavailable, SourceKind, TrustSource

KINDS: Final[Mapping[SourceKind, Kind]] = {
    SourceKind.KUBERNETES: kubernetes.KIND,
    SourceKind.SPIFFE: spiffe.KIND,
    SourceKind.OIDC: oidc.KIND,
}
_NOBODY = (  # the same whether the client has no such source or the signature is another's: that is nobody's business
    "No trust source of this client vouches for it: its issuer is another, or it is not signed with a key of that "
    "issuer. An administrator can see which sources the client has."
)
_ANOTHER = (
    "The proof is valid, and it is about another workload than the one registered as this client. An administrator "
    "sees in this client's activity what differs."
)


def trusted_sources(client: Client, sources: Mapping[str, TrustSource], now: datetime) -> list[TrustSource]:
    """The sources whose word counts for this client now: those of its proofs that stand, unless they are disabled."""
    found = {}
    for proof in client.proofs:
        if proof.kind is ProofKind.SELECTORS and proof.source_id and proof.stands(now):
            source = sources.get(proof.source_id)
            if source is not None and source.enabled:
                found[source.id] = source
    return [found[id_] for id_ in sorted(found)]


class Workloads:
    """Judges the tokens of workloads. `issuer` is the authority's own: the audience where a source names none.

    Without `clusters`, nothing is proved by a source that wants its cluster asked.
    """

    def __init__(self, find_key: FindKey, *, issuer: str, trust_domain: str, clusters: Clusters | None = None) -> None:
        self._find_key = find_key
        self._clusters = clusters
        self._issuer = issuer
        self._trust_domain = trust_domain
        self._remembered = RememberedEvidence(find_key)

    def recall(
        self, evidence: Evidence, client: Client, trusted: Sequence[TrustSource], now: datetime
    ) -> Proved | Refused | None:
        """What evidence proves that was verified before; None for all other evidence. `trusted` as for `prove`."""
        for source in trusted:
            try:
                verified = self._remembered.recall(source, evidence, now)
            except KeysUnavailable:
                continue  # `prove` says so, unless another source can tell
            if verified is not None:
                return self._judged(client, source, verified, evidence, now)
        return None

    def prove(
        self,
        evidence: Evidence,
        token: UnverifiedJws,
        client: Client,
        trusted: Sequence[TrustSource],
        now: datetime,
    ) -> Proved | Refused:
        """What the evidence proves; `token` is the evidence, taken apart, and `trusted` the client's `trusted_sources`.

        Raises `Unchecked` when the keys that would tell are not known at the moment.
        """
        if problem := malformed(token):
            return invalid(problem)
        kid = token.header["kid"]
        signer = self._signer(token, kid, trusted)
        if signer is None:
            return invalid(_NOBODY)
        source, key = signer
        kind, seconds = KINDS[source.kind], now.timestamp()
        if problem := complaint(token.claims, source, kind, audience=self._audience(source), now=seconds):
            return _spoilt(source, problem)
        selectors = kind.read(token.claims, source)
        if isinstance(selectors, str):
            return _spoilt(source, selectors)
        verified = Verified(
            source_id=source.id,
            source_revision=source.revision,
            kind=source.kind,
            selectors=selectors,
            until=datetime.fromtimestamp(min(token.claims["exp"], seconds + DAY), UTC),
            bound=kind.bound(token.claims) if kind.bound and source.cluster is not None else None,
        )
        self._remembered.remember(source, evidence, verified, kid=kid, key=key)
        return self._judged(client, source, verified, evidence, now)

    def _signer(
        self, token: UnverifiedJws, kid: str, trusted: Sequence[TrustSource]
    ) -> tuple[TrustSource, PublicKey] | None:
        """The source whose key made the signature: clusters may share an issuer, never a key."""
        unknown: tuple[TrustSource, KeysUnavailable] | None = None
        for source in trusted:
            if not speaks_for(source, token.claims):
                continue
            try:
                key = self._find_key(source, kid)
            except KeysUnavailable as error:
                unknown = source, error
                continue  # another that speaks for it may have the key
            if key is not None and signed_by(token, key):
                return source, key
        if unknown is not None:
            asked, problem = unknown
            raise Unchecked(asked, problem.sentence) from problem
        return None

    def _judged(
        self, client: Client, source: TrustSource, verified: Verified, evidence: Evidence, now: datetime
    ) -> Proved | Refused:
        """Whether that is the client. Its cluster is asked only where the token itself says what is registered."""
        outcome = match(client, source, verified, self._trust_domain, now)
        if isinstance(outcome, Miss) and not outcome.waits:
            return _another(outcome)
        cluster = source.cluster
        if cluster is None or not cluster.asked:
            return outcome if isinstance(outcome, Proved) else _another(outcome)
        if self._clusters is None or verified.bound is None:
            raise Unchecked(source, "its cluster is not asked here, or the token does not say what to ask for")
        if cluster.reviews:
            if not self._clusters.still_counts(source, evidence, verified.bound, self._audience(source)):
                return _gone(source)
            outcome = replace(outcome, validation=Validation.TOKEN_REVIEW)
        if isinstance(outcome, Proved):
            return outcome
        return self._looked_up(client, source, verified, outcome, now)

    def _looked_up(
        self, client: Client, source: TrustSource, verified: Verified, miss: Miss, now: datetime
    ) -> Proved | Refused:
        """Whether it is the client by what the cluster says of its pod beside the token."""
        assert self._clusters is not None
        assert verified.bound is not None
        told = self._clusters.pod(source, verified.bound)
        if told is None:
            return _gone(source)
        seen = replace(verified, selectors=verified.selectors | told, looked_up=True)
        outcome = replace(match(client, source, seen, self._trust_domain, now), validation=miss.validation)
        return outcome if isinstance(outcome, Proved) else _another(outcome)

    def _audience(self, source: TrustSource) -> str:
        return source.audience or self._issuer


def _another(miss: Miss) -> Refused:
    return Refused(reason=RefusalReason.MISMATCH, details=_ANOTHER, miss=miss)


def _spoilt(source: TrustSource, problem: str) -> Refused:
    """The source signed it, so the operator may know what is wrong with it: it is nobody's who is trying keys."""
    return replace(invalid(problem), failed=Failed(source_id=source.id, sentence=problem))


def _gone(source: TrustSource) -> Refused:
    return Refused(reason=RefusalReason.INVALID, details=GONE, gone_from=source.id)
