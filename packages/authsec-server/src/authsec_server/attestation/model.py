"""Evidence, and the result of its verification. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from authsec_server.audit.model import Named
from authsec_server.clients.model import ProofKind, Selector
from authsec_server.failures import Unavailable
from authsec_server.issuers.model import Provenance, TrustedIssuer, TrustedIssuerKind


class Scheme(StrEnum):
    """How a caller sends its evidence.

    The first three are schemes of the Authorization header (RFC 9110 section 11) at the delegation-token endpoint. A
    `BEARER` credential is an assertion of the client or a token of its workload. The others are for the OAuth token
    endpoint, where the request says which of the two the credential is.
    """

    BEARER = "bearer"
    BASIC = "basic"
    OTHER = "other"
    SECRET = "client_secret"  # noqa: S105 - a name
    KEY_PAIR = "private_key_jwt"
    WORKLOAD = "workload_token"
    SVID = "jwt_svid"  # a workload's token that only a SPIFFE trust domain may have signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A credential of a caller, before its verification. The credential must never appear in a log.

    `client_name` is the id or slug of the client, as an assertion of the scheme `KEY_PAIR` must name its client.
    """

    scheme: Scheme
    credential: str = field(repr=False)
    client_name: str = ""
    _mark: bytes = field(default=b"", init=False, repr=False, compare=False)

    @property
    def mark(self) -> bytes:
        """Return the SHA-256 of the credential, which caches use as the key. Calculated once."""
        if not self._mark:
            object.__setattr__(self, "_mark", sha256(self.credential.encode()).digest())
        return self._mark


class RefusalReason(StrEnum):
    """Reasons to refuse evidence: the stable error codes of the endpoint."""

    REQUIRED = "attestation_required"
    INVALID = "attestation_invalid"
    MISMATCH = "selectors_mismatch"
    AMBIGUOUS = "client_ambiguous"


class Validation(StrEnum):
    """How the token of a Kubernetes cluster was validated."""

    OFFLINE = "offline"  # by its signature: a pod that is gone shows when the token expires
    TOKEN_REVIEW = "token_review"  # noqa: S105 - the cluster was asked, too

    @property
    def shown(self) -> str:
        """Describe the validation in words for people."""
        return {"offline": "checked by its signature", "token_review": "reviewed by the cluster"}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBinding:
    """The service account, and perhaps the pod, to which a cluster's token is bound.

    Missing values are empty strings.
    """

    namespace: str
    account: str
    account_uid: str
    pod_name: str = ""
    pod_uid: str = ""


class Selectors(Set[Selector]):
    """Set of the selectors in a token, one value for each key. `Selector` objects are made only on iteration."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def __contains__(self, selector: object) -> bool:
        return isinstance(selector, Selector) and self._values.get(selector.key) == selector.value

    def __iter__(self) -> Iterator[Selector]:
        return (Selector(key=key, value=value) for key, value in self._values.items())

    def __len__(self) -> int:
        return len(self._values)

    @classmethod
    def _from_iterable(cls, selectors: Iterable[Any]) -> Set[Any]:  # with what a look-up told, a key has many values
        return frozenset(selectors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The selectors that a trusted issuer's signed token proves about a workload, not yet compared with any client.

    The selectors have a meaning only for this trusted issuer: another cluster may also have a namespace
    `production`. `bound` is set if the cluster can be asked more about the workload. `looked_up` says that the
    selectors include the result of the look-up in the cluster.
    """

    trusted_issuer_id: str
    trusted_issuer_revision: int
    kind: TrustedIssuerKind
    selectors: Set[Selector]
    until: datetime  # the token's `exp`, at most a day from then
    bound: TokenBinding | None = None
    looked_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorRow:
    """The comparison of one selector of a proof with the workload.

    `shown` is the value that the workload has for the key; empty if there is none. `provenance` is how the
    trusted issuer proves the selector. `open` says that only a look-up can prove the selector, and no look-up
    was made.
    """

    key: str
    registered: str
    shown: str  # cut short and made visible: to be read by people, never compared
    agrees: bool
    provenance: Provenance
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A proof that the workload does not satisfy, and its differences from the workload.

    It is shown in the audit log and the console, never to the caller.
    """

    proof_id: str
    trusted_issuer_id: str
    rows: tuple[SelectorRow, ...]
    sentence: str
    validation: Validation | None = None

    @property
    def waits(self) -> bool:
        """Return whether a look-up may still turn the miss into a match.

        True if every selector that needs no look-up matches.
        """
        return any(row.open for row in self.rows) and all(row.agrees or row.open for row in self.rows)

    @property
    def agreeing(self) -> int:
        """Return how many selectors match. Of two misses, the miss with the higher number is closer."""
        return sum(row.agrees for row in self.rows)

    @property
    def detail(self) -> dict[str, Any]:
        """Return the miss for the audit log, in JSON types."""
        rows = [
            {
                "key": row.key,
                "registered": row.registered,
                "shown": row.shown,
                "agrees": row.agrees,
                "proved_by": row.provenance.value,
            }
            for row in self.rows
        ]
        its = {
            "proof_id": self.proof_id,
            "trusted_issuer_id": self.trusted_issuer_id,
            "sentence": self.sentence,
            "selectors": rows,
        }
        return its | ({"validation": self.validation.value} if self.validation else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleUse:
    """The hash of evidence that may be used once, and the time until which the hash must be stored."""

    jti_sha256: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """Result of a check: the caller is the client. `selectors` are the keys of the proved selectors, not their values.

    `trusted_issuer_kind`, `trusted_issuer_id` and `trusted_issuer_revision` identify the trusted issuer.
    `proved_by` says how each selector of the proof was proved, including the selectors that SPIRE enforces.
    """

    proof_id: str
    kind: ProofKind
    trusted_issuer_kind: TrustedIssuerKind | None = None
    trusted_issuer_id: str | None = None
    trusted_issuer_revision: int | None = None
    selectors: tuple[str, ...] = ()
    proved_by: Mapping[str, Provenance] = field(default_factory=dict, hash=False)
    validation: Validation | None = None
    single_use: SingleUse | None = None

    @property
    def method(self) -> str:
        """Return the value of the claim `attestation.method`: the kind of trusted issuer, or else the kind of proof.

        The value is `none` for a client without a proof.
        """
        if self.kind is ProofKind.UNATTESTED:
            return "none"
        if self.enrolled:
            return ProofKind.KEY_PAIR.value  # it is one; that it was enrolled is said beside it
        return self.trusted_issuer_kind.value if self.trusted_issuer_kind else self.kind.value

    @property
    def enrolled(self) -> bool:
        """Return whether the proof is the key of an enrolled machine, which is valid for some hours."""
        return self.kind is ProofKind.ENROLLED_KEY

    @property
    def attested(self) -> bool:
        """Return whether the client proved its identity. False if the client needed only its client_id."""
        return self.kind is not ProofKind.UNATTESTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The check that a credential failed, or the reason why its trusted issuer could not be asked.

    `trusted_issuer_id` is empty for a credential of the client's own: an assertion or a secret. Its sentences are few,
    because refusals with different sentences are counted apart. It is shown in the audit log and the console. A caller
    sees it only if its key is a key of the client.
    """

    sentence: str
    trusted_issuer_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unassigned:
    """Why a token that names no client is not the token of one client. `clients` are those that match.

    It is shown in the audit log and the console, never to the caller.
    """

    trusted_issuer: Named
    sentence: str
    clients: tuple[Named, ...] = ()


class Unchecked(Unavailable):
    """The proof cannot be checked right now. `failed` and `unassigned` name the trusted issuer and the reason."""

    def __init__(self, trusted_issuer: TrustedIssuer, sentence: str) -> None:
        super().__init__("The proof cannot be checked right now.")
        self.failed = Failed(trusted_issuer_id=trusted_issuer.id, sentence=sentence)
        named = Named(id=trusted_issuer.id, name=trusted_issuer.name)
        self.unassigned = Unassigned(trusted_issuer=named, sentence=sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Result of a check: the evidence does not prove that the caller is the client.

    `details` says which evidence is needed, and nothing about the client. `deleted_in_cluster` is the id of the trusted
    issuer whose cluster reports that the workload is gone. `failed` is set if a trusted issuer signed the token
    but another check failed, and for a credential of the client's own. `unassigned` is set if the evidence names no
    client, and no one client matches.
    `is_authentic` is true if a key of the client signed the evidence.
    """

    reason: RefusalReason
    details: str
    miss: Miss | None = None
    deleted_in_cluster: str | None = None
    failed: Failed | None = None
    unassigned: Unassigned | None = None
    is_authentic: bool = False


NOT_SIGNED: Final = "The assertion is not signed with a valid registered key of this client."
SIGNATURE_OCTETS: Final[Mapping[str, int]] = {"ES256": 64, "ES384": 96, "ES512": 132}
"""The length of an ECDSA signature, by `alg` (RFC 7518 section 3.4)."""
DER_SIGNED: Final[Mapping[str, str]] = {
    algorithm: f"The signature of {algorithm} must have {octets} octets, R and S (RFC 7518 section 3.4). This one has "
    "the DER form, as OpenSSL writes it."
    for algorithm, octets in SIGNATURE_OCTETS.items()
}
"""The sentence about a signature in the DER form, by `alg`. It depends on the assertion alone."""
WRONG_LENGTH: Final[Mapping[str, str]] = {
    algorithm: f"The signature of {algorithm} must have {octets} octets, R and S (RFC 7518 section 3.4). This one has "
    for algorithm, octets in SIGNATURE_OCTETS.items()
}
"""The beginning of the sentence about a signature of a wrong length, by `alg`. The length follows."""
OWN_AS_GRANT: Final = (
    "The `iss` and `sub` of the assertion are equal, as in the assertion of a client. The grant jwt-bearer takes "
    "tokens of trusted issuers only."
)
WRONG_SECRET: Final = "The secret is wrong, has expired, or was rotated or removed."  # noqa: S105 - a sentence


def invalid_own(details: str, sentence: str = "", *, is_authentic: bool = False) -> Refused:
    """Return the refusal of a credential of the client's own. The audit log gets `sentence`, or else `details`."""
    return replace(invalid(details), failed=Failed(sentence=sentence or details), is_authentic=is_authentic)


def invalid(details: str) -> Refused:
    """Return the refusal of invalid evidence."""
    return Refused(reason=RefusalReason.INVALID, details=details)
