"""Check whether a caller is a client. A caller without evidence is accepted only as an unattested client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from authsec.jose import JoseError, UnverifiedJws, parse_compact

from authsec_server import naming
from authsec_server.attestation import client_secret, key_pair, store
from authsec_server.attestation.failure_counts import count_failure, unchecked_counted
from authsec_server.attestation.model import (
    OWN_AS_GRANT,
    Evidence,
    Proved,
    RefusalReason,
    Refused,
    Scheme,
    SingleUse,
    invalid,
    invalid_own,
)
from authsec_server.attestation.workloads import Workloads, usable_issuers
from authsec_server.clients.model import Client, ProofKind
from authsec_server.db import Tx
from authsec_server.issuers.model import TrustedIssuer, TrustedIssuerKind

MAX_BYTES: Final = 16_384
MOST_KEYS: Final = 2  # of a client, with which one assertion is verified
_TOKENS: Final = (Scheme.BEARER, Scheme.KEY_PAIR, Scheme.WORKLOAD, Scheme.SVID)
_HOW = (
    "Send `Authorization: Bearer <proof>`: the workload's token from its platform (a Kubernetes service account's "
    "projected token, a JWT-SVID, an OpenID Connect token), or a private_key_jwt assertion (RFC 7523), signed with the "
    "agent's own key. A client secret is sent as `Basic`."
)


def attest(
    client: Client,
    trusted_issuers: Mapping[str, TrustedIssuer],
    evidence: Evidence | None,
    *,
    workloads: Workloads,
    issuer: str,
    now: datetime,
) -> Proved | Refused:
    """Check the evidence. Invalid evidence is refused, even if the client needs no evidence.

    `trusted_issuers` has the trusted issuers of the client's proofs, by id. Raises `Unchecked` if the evidence
    cannot be checked at the moment.
    """
    with unchecked_counted(trusted_issuers.values()):
        outcome = _attest(client, trusted_issuers, evidence, workloads=workloads, issuer=issuer, now=now)
    if isinstance(outcome, Refused):
        count_failure(outcome, trusted_issuers.values())
    return outcome


def _attest(
    client: Client,
    trusted_issuers: Mapping[str, TrustedIssuer],
    evidence: Evidence | None,
    *,
    workloads: Workloads,
    issuer: str,
    now: datetime,
) -> Proved | Refused:
    if evidence is None or evidence.scheme not in _TOKENS:
        return _without_token(client, evidence, now)
    trusted = _usable(evidence, client, trusted_issuers, now)
    known = workloads.recall(evidence, client, trusted, now)
    if known is not None:
        return known
    token = parse_token(evidence)
    if token is None:
        return invalid(f"The proof is not a signed JWT of at most {MAX_BYTES} bytes. {_HOW}")
    if _is_own(token, evidence, client):
        return key_pair.verify(token, client, issuer=issuer, now=now, client_name=evidence.client_name)
    return own_as_grant(token) or workloads.prove(evidence, token, client, trusted, now)


def attest_at_once(
    client: Client,
    trusted_issuers: Mapping[str, TrustedIssuer],
    evidence: Evidence | None,
    *,
    workloads: Workloads,
    issuer: str,
    now: datetime,
) -> Proved | Refused | None:
    """Check the evidence like `attest` if the check is quick and uses only memory. Otherwise return None."""
    if evidence is None or evidence.scheme not in _TOKENS:
        return _without_token(client, evidence, now)
    if trusted_issuers:
        known = workloads.recall_at_once(evidence, client, _usable(evidence, client, trusted_issuers, now), now)
        if known is not None:
            return known
    if not 0 < sum(proof.public_key is not None for proof in client.proofs) <= MOST_KEYS:
        return None
    token = parse_token(evidence)
    if token is None or not _is_own(token, evidence, client):
        return None
    return key_pair.verify(token, client, issuer=issuer, now=now, client_name=evidence.client_name)


def _without_token(client: Client, evidence: Evidence | None, now: datetime) -> Proved | Refused:
    if evidence is None:
        return _unproved(client, now)
    if evidence.scheme is Scheme.BASIC:
        return client_secret.verify(evidence.credential, client, now)
    if evidence.scheme is Scheme.SECRET:
        return client_secret.verify_secret(evidence.credential, client, now)
    return invalid(_HOW)


def _usable(
    evidence: Evidence, client: Client, trusted_issuers: Mapping[str, TrustedIssuer], now: datetime
) -> list[TrustedIssuer]:
    """Return the client's trusted issuers that may have signed this evidence."""
    if evidence.scheme is Scheme.KEY_PAIR:
        return []
    return [each for each in usable_issuers(client, trusted_issuers, now) if is_of_its_kind(evidence, each)]


def is_of_its_kind(evidence: Evidence, trusted_issuer: TrustedIssuer) -> bool:
    """Whether a trusted issuer of this kind may have signed the evidence: an SVID comes from a trust domain."""
    return evidence.scheme is not Scheme.SVID or trusted_issuer.kind is TrustedIssuerKind.SPIFFE


def parse_token(evidence: Evidence) -> UnverifiedJws | None:
    """Return the unverified JWT of the evidence. Return None if the evidence is no signed JWT."""
    try:
        return parse_compact(evidence.credential, max_bytes=MAX_BYTES)
    except JoseError:
        return None


def _is_own(token: UnverifiedJws, evidence: Evidence, client: Client) -> bool:
    """Whether the rules of key pairs apply to the token, and not those of workloads. Never both apply.

    At the delegation-token endpoint, `iss` decides. No trusted issuer has a client id as its `iss`.
    """
    if evidence.scheme is Scheme.BEARER:
        return token.claims.get("iss") == client.id
    return evidence.scheme is Scheme.KEY_PAIR


def own_as_grant(token: UnverifiedJws) -> Refused | None:
    """Return the refusal of a workload's token that is a client's own assertion, or None.

    The libraries of some clouds send such an assertion as the grant `jwt-bearer`. No trusted issuer has the name of a
    client as its `iss`.
    """
    issuer = token.claims.get("iss")
    if not isinstance(issuer, str) or issuer != token.claims.get("sub"):
        return None
    return invalid_own(OWN_AS_GRANT) if naming.is_uuid(issuer) or naming.is_slug(issuer) else None


def malformed_credential(evidence: Evidence | None) -> str:
    """Return how the form of the credential is wrong, or an empty text.

    The result depends on the evidence alone, so it may be sent to an unauthenticated caller.
    """
    token = parse_token(evidence) if evidence and evidence.scheme in _TOKENS else None
    if token is None:
        return ""
    if evidence and evidence.scheme is Scheme.WORKLOAD:
        return OWN_AS_GRANT if own_as_grant(token) else ""
    return key_pair.malformed_signature(token)


def use_once(tx: Tx, evidence: Sequence[tuple[str, SingleUse | None]]) -> list[bool]:
    """Mark single-use evidence as used. Return for each entry whether its evidence was not used before.

    Evidence without a `SingleUse` may be used again. If the same evidence occurs twice, only the first entry is unused.
    Call this in the transaction that records the outcomes.
    """
    used: dict[tuple[str, str], datetime] = {}
    for client_id, single_use in evidence:
        if single_use is not None:  # two assertions of one `jti` may expire at different times
            one = client_id, single_use.jti_sha256
            used[one] = max(single_use.until, used.get(one, single_use.until))
    fresh = store.use_all(tx.connection, used)
    result = []
    for client_id, single_use in evidence:
        key = (client_id, single_use.jti_sha256) if single_use else None
        result.append(key is None or key in fresh)
        fresh.discard(key)  # the second entry with the same evidence is not fresh
    return result


def forget_used(tx: Tx, now: datetime) -> None:
    """Delete used evidence that has expired."""
    store.forget(tx.connection, now)


def _unproved(client: Client, now: datetime) -> Proved | Refused:
    """Accept a client without evidence only if the client has an unexpired proof of the kind `unattested`."""
    for proof in client.proofs:
        if proof.kind is ProofKind.UNATTESTED and proof.is_valid(now):
            return Proved(proof_id=proof.id, kind=proof.kind)
    return Refused(reason=RefusalReason.REQUIRED, details=_HOW)
