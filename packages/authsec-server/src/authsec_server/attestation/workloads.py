"""Verify the tokens of workloads and match them with a client. Verified tokens are cached.

A cached result is used only while the trusted issuer and its key do not change.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from threading import Lock
from typing import Final, NamedTuple

from authsec.jose import PublicKey, UnverifiedJws

from authsec_server.attestation.cluster import GONE, ClusterAnswers, Clusters
from authsec_server.attestation.kinds import KINDS
from authsec_server.attestation.matching import match
from authsec_server.attestation.model import (
    Evidence,
    Failed,
    Miss,
    Proved,
    RefusalReason,
    Refused,
    TokenBinding,
    Unchecked,
    Validation,
    Verified,
    invalid,
)
from authsec_server.attestation.workload_tokens import (
    DAY,
    FindKey,
    complaint,
    is_issuer_of,
    malformed,
    signed_by,
)
from authsec_server.clients.model import Client, ProofKind
from authsec_server.issuers.model import KeysUnavailable, TrustedIssuer

MAX_REMEMBERED: Final = 10_000
_Mark = tuple[str, int, bytes]  # trusted issuer, its revision, SHA-256 of the evidence; none of them is ever empty


class _Entry(NamedTuple):  # one is made for each new token: this takes a fraction of what a frozen dataclass does
    verified: Verified
    kid: str
    thumbprint: str


class EvidenceCache:
    """Cache of verified evidence, by trusted issuer, revision and hash of the evidence. Thread-safe.

    A full cache drops the least recently used entry. Evidence for a single use is never cached.
    """

    def __init__(self, *, at_most: int = MAX_REMEMBERED) -> None:
        self._at_most = at_most
        self._entries: OrderedDict[_Mark, _Entry] = OrderedDict()
        self._lock = Lock()

    def recall(
        self, trusted_issuer: TrustedIssuer, evidence: Evidence, now: datetime, find_key: FindKey
    ) -> Verified | None:
        """Return the cached result for this evidence; None if there is none.

        The result is also None if the evidence has expired, or if the trusted issuer no longer has the key. Raises
        `KeysUnavailable` if `find_key` does.
        """
        mark = _mark(trusted_issuer, evidence)
        with self._lock:
            entry = self._entries.get(mark)
            if entry is None:
                return None
            if entry.verified.until <= now:
                del self._entries[mark]
                return None
            self._entries.move_to_end(mark)
        key = find_key(trusted_issuer, entry.kid)  # not under the lock: it may fetch
        return entry.verified if key is not None and key.thumbprint() == entry.thumbprint else None

    def remember(
        self, trusted_issuer: TrustedIssuer, evidence: Evidence, verified: Verified, *, kid: str, key: PublicKey
    ) -> None:
        """Cache the result of evidence that was just verified with this key of the trusted issuer."""
        entry = _Entry(verified=verified, kid=kid, thumbprint=key.thumbprint())
        with self._lock:
            self._entries[_mark(trusted_issuer, evidence)] = entry
            if len(self._entries) > self._at_most:
                self._entries.popitem(last=False)


def _mark(trusted_issuer: TrustedIssuer, evidence: Evidence) -> _Mark:
    return trusted_issuer.id, trusted_issuer.revision, evidence.mark


_NOBODY = (  # the same for an unknown issuer and for a wrong signature: callers must not learn which
    "No trusted issuer of this client signed the token. The token names another issuer, or no key of that issuer "
    "made the signature. An administrator can see the client's trusted issuers."
)
_ANOTHER = (
    "The proof is valid, but for a workload that is not registered as this client. Administrators can see the "
    "difference in this client's activity."
)


def usable_issuers(client: Client, trusted_issuers: Mapping[str, TrustedIssuer], now: datetime) -> list[TrustedIssuer]:
    """Return the enabled trusted issuers that the client's unexpired proofs name."""
    found = {}
    for proof in client.proofs:
        if proof.kind is ProofKind.SELECTORS and proof.trusted_issuer_id and proof.is_valid(now):
            trusted_issuer = trusted_issuers.get(proof.trusted_issuer_id)
            if trusted_issuer is not None and trusted_issuer.enabled:
                found[trusted_issuer.id] = trusted_issuer
    return [found[id_] for id_ in sorted(found)]


class Workloads:
    """Verifier of workload tokens. `issuer` is this authority's own issuer, the default audience for workload tokens.

    `held_key` finds only keys in memory, and never waits. Without `held_key`, `recall_at_once` returns
    None. Without `clusters`, tokens of a trusted issuer that requires look-ups are not accepted.
    """

    def __init__(
        self,
        find_key: FindKey,
        *,
        issuer: str,
        trust_domain: str,
        held_key: FindKey | None = None,
        clusters: Clusters | None = None,
    ) -> None:
        self._find_key = find_key
        self._held_key = held_key
        self._clusters = clusters
        self._issuer = issuer
        self._trust_domain = trust_domain
        self._remembered = EvidenceCache()

    def recall(
        self, evidence: Evidence, client: Client, trusted: Sequence[TrustedIssuer], now: datetime
    ) -> Proved | Refused | None:
        """Match evidence that is in the cache with the client. Return None for other evidence.

        `trusted` are the client's trusted issuers.
        """
        for trusted_issuer in trusted:
            try:
                verified = self._remembered.recall(trusted_issuer, evidence, now, self._find_key)
            except KeysUnavailable:
                continue  # `prove` raises the error, unless another trusted issuer verifies the token
            if verified is not None:
                return self._judged(client, trusted_issuer, verified, evidence, now, self._clusters)
        return None

    def recall_at_once(
        self, evidence: Evidence, client: Client, trusted: Sequence[TrustedIssuer], now: datetime
    ) -> Proved | None:
        """Match cached evidence with the client, without waiting.

        Return None if needed data is not in memory, or if the workload is not the client.
        """
        if self._held_key is None:
            return None
        kept = None if self._clusters is None else self._clusters.kept
        for trusted_issuer in trusted:
            verified = self._remembered.recall(trusted_issuer, evidence, now, self._held_key)
            if verified is not None:
                try:
                    outcome = self._judged(client, trusted_issuer, verified, evidence, now, kept)
                except Unchecked:
                    return None  # `recall` asks this cluster, before it tries another trusted issuer
                return outcome if isinstance(outcome, Proved) else None
        return None

    def prove(
        self,
        evidence: Evidence,
        token: UnverifiedJws,
        client: Client,
        trusted: Sequence[TrustedIssuer],
        now: datetime,
    ) -> Proved | Refused:
        """Verify the evidence and match it with the client.

        `token` is the parsed evidence, and `trusted` are the client's trusted issuers. Raises `Unchecked` if the keys
        for the token are not available.
        """
        outcome = self._verified(evidence, token, trusted, now)
        if isinstance(outcome, Refused):
            return outcome
        trusted_issuer, verified = outcome
        return self._judged(client, trusted_issuer, verified, evidence, now, self._clusters)

    def verify(
        self, evidence: Evidence, token: UnverifiedJws, trusted: Sequence[TrustedIssuer], now: datetime
    ) -> tuple[TrustedIssuer, Verified] | Refused:
        """Verify the evidence of an unknown client. Return the trusted issuer, and the facts that it proves.

        The selectors include those of a pod look-up, if the trusted issuer has look-ups turned on. Raises `Unchecked`.
        """
        outcome = self._verified(evidence, token, trusted, now)
        if isinstance(outcome, Refused):
            return outcome
        trusted_issuer, verified = outcome
        if trusted_issuer.cluster is None or not trusted_issuer.cluster.pods:
            return outcome
        clusters, bound = self._required(self._clusters, trusted_issuer, verified)
        told = clusters.pod(trusted_issuer, bound)
        if told is None:
            return _deleted_workload(trusted_issuer)
        return trusted_issuer, replace(verified, selectors=verified.selectors | told, looked_up=True)

    def _verified(
        self, evidence: Evidence, token: UnverifiedJws, trusted: Sequence[TrustedIssuer], now: datetime
    ) -> tuple[TrustedIssuer, Verified] | Refused:
        """Check form, signature and claims. Cache the result."""
        if problem := malformed(token):
            return invalid(problem)
        kid = token.header["kid"]
        signer = self._signer(token, kid, trusted)
        if signer is None:
            return invalid(_NOBODY)
        trusted_issuer, key = signer
        kind, seconds = KINDS[trusted_issuer.kind], now.timestamp()
        if problem := complaint(
            token.claims, trusted_issuer, kind, audience=self._audience(trusted_issuer), now=seconds
        ):
            return _failed_check(trusted_issuer, problem)
        selectors = kind.read(token.claims, trusted_issuer)
        if isinstance(selectors, str):
            return _failed_check(trusted_issuer, selectors)
        verified = Verified(
            trusted_issuer_id=trusted_issuer.id,
            trusted_issuer_revision=trusted_issuer.revision,
            kind=trusted_issuer.kind,
            selectors=selectors,
            until=datetime.fromtimestamp(min(token.claims["exp"], seconds + DAY), UTC),
            bound=kind.bound(token.claims) if kind.bound and trusted_issuer.cluster is not None else None,
        )
        self._remembered.remember(trusted_issuer, evidence, verified, kid=kid, key=key)
        return trusted_issuer, verified

    def _signer(
        self, token: UnverifiedJws, kid: str, trusted: Sequence[TrustedIssuer]
    ) -> tuple[TrustedIssuer, PublicKey] | None:
        """Return the trusted issuer and its key that made the signature.

        Clusters may have the same issuer, but never the same key.
        """
        unknown: tuple[TrustedIssuer, KeysUnavailable] | None = None
        for trusted_issuer in trusted:
            if not is_issuer_of(trusted_issuer, token.claims):
                continue
            try:
                key = self._find_key(trusted_issuer, kid)
            except KeysUnavailable as error:
                unknown = trusted_issuer, error
                continue  # another trusted issuer with the same `iss` may have the key
            if key is not None and signed_by(token, key):
                return trusted_issuer, key
        if unknown is not None:
            asked, problem = unknown
            raise Unchecked(asked, problem.sentence) from problem
        return None

    def _judged(
        self,
        client: Client,
        trusted_issuer: TrustedIssuer,
        verified: Verified,
        evidence: Evidence,
        now: datetime,
        clusters: ClusterAnswers | None,
    ) -> Proved | Refused:
        """Match the workload with the client. Ask the cluster only if no selector in the token differs."""
        outcome = match(client, trusted_issuer, verified, self._trust_domain, now)
        if isinstance(outcome, Miss) and not outcome.waits:
            return _another(outcome)
        cluster = trusted_issuer.cluster
        if cluster is None or not cluster.asked:
            return outcome if isinstance(outcome, Proved) else _another(outcome)
        clusters, bound = self._required(clusters, trusted_issuer, verified)
        if cluster.reviews:
            audience = self._audience(trusted_issuer)
            if not clusters.is_still_valid(trusted_issuer, evidence, bound, audience):
                return _deleted_workload(trusted_issuer)
            outcome = replace(outcome, validation=Validation.TOKEN_REVIEW)
        if isinstance(outcome, Proved):
            return outcome
        told = clusters.pod(trusted_issuer, bound)
        if told is None:
            return _deleted_workload(trusted_issuer)
        seen = replace(verified, selectors=verified.selectors | told, looked_up=True)
        again = replace(match(client, trusted_issuer, seen, self._trust_domain, now), validation=outcome.validation)
        return again if isinstance(again, Proved) else _another(again)

    @staticmethod
    def _required(
        clusters: ClusterAnswers | None, trusted_issuer: TrustedIssuer, verified: Verified
    ) -> tuple[ClusterAnswers, TokenBinding]:
        """Return what a question to the cluster needs. Raises `Unchecked` if the cluster cannot be asked."""
        if clusters is None or verified.bound is None:
            raise Unchecked(
                trusted_issuer,
                "this server does not ask the cluster, or the token does not name a pod or service account",
            )
        return clusters, verified.bound

    def _audience(self, trusted_issuer: TrustedIssuer) -> str:
        return trusted_issuer.audience or self._issuer


def _another(miss: Miss) -> Refused:
    return Refused(reason=RefusalReason.MISMATCH, details=_ANOTHER, miss=miss)


def _failed_check(trusted_issuer: TrustedIssuer, problem: str) -> Refused:
    """Refuse a correctly signed token that has another problem, and store the problem for the operator.

    Storing is safe: a caller without a key of the trusted issuer cannot cause such a refusal.
    """
    return replace(invalid(problem), failed=Failed(trusted_issuer_id=trusted_issuer.id, sentence=problem))


def _deleted_workload(trusted_issuer: TrustedIssuer) -> Refused:
    return Refused(reason=RefusalReason.INVALID, details=GONE, deleted_in_cluster=trusted_issuer.id)
