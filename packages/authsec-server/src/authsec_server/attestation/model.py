"""Evidence and what it proves. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from authsec_server.clients.model import ProofKind, Selector
from authsec_server.failures import Unavailable
from authsec_server.issuers.model import Provenance, TrustedIssuer, TrustedIssuerKind


class Scheme(StrEnum):
    """How the evidence came (RFC 9110 section 11: authentication scheme)."""

    BEARER = "bearer"
    BASIC = "basic"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a caller shows: not looked at yet, and not to be seen in any log."""

    scheme: Scheme
    credential: str = field(repr=False)
    _mark: bytes = field(default=b"", init=False, repr=False, compare=False)

    @property
    def mark(self) -> bytes:
        """The SHA-256 of the credential: what it is known by where it is remembered. Calculated once."""
        if not self._mark:
            object.__setattr__(self, "_mark", sha256(self.credential.encode()).digest())
        return self._mark


class RefusalReason(StrEnum):
    """Why evidence does not suffice; the endpoint's stable codes."""

    REQUIRED = "attestation_required"
    INVALID = "attestation_invalid"
    MISMATCH = "selectors_mismatch"


class Validation(StrEnum):
    """How a cluster's token was found good."""

    OFFLINE = "offline"  # by its signature: a pod that is gone shows when the token expires
    TOKEN_REVIEW = "token_review"  # noqa: S105 - the cluster was asked, too

    @property
    def shown(self) -> str:
        """In words, for people."""
        return {"offline": "checked by its signature", "token_review": "reviewed by the cluster"}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBinding:
    """What a cluster's token is bound to: an account, and a pod where it names one. What it does not say is empty."""

    namespace: str
    account: str
    account_uid: str
    pod_name: str = ""
    pod_uid: str = ""


class Selectors(Set[Selector]):
    """What a token says, a value for each key, as a set of selectors: none is made until somebody looks at it."""

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
    """What a trusted issuer says of a workload, in a token that it signed; of which client, nobody has asked yet.

    The selectors mean something within this trusted issuer only: another cluster has a namespace `production` too.
    `bound` is there where the trusted issuer can be asked more about the workload; `looked_up`: it was, and these hold
    what it told.
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
    """One selector of a proof beside what the workload showed for its key; empty where it showed nothing.

    `provenance` is how its trusted issuer proves it. It is `open` where the cluster was not asked for it.
    """

    key: str
    registered: str
    shown: str  # cut short and made visible: to be read by people, never compared
    agrees: bool
    provenance: Provenance
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """The proof that came closest, and where it differs. For the journal and the console, never for the caller."""

    proof_id: str
    trusted_issuer_id: str
    rows: tuple[SelectorRow, ...]
    sentence: str
    validation: Validation | None = None

    @property
    def waits(self) -> bool:
        """Whether a look-up may yet show that the workload is the client: all that the token tells is as registered."""
        return any(row.open for row in self.rows) and all(row.agrees or row.open for row in self.rows)

    @property
    def agreeing(self) -> int:
        """How many of the selectors are as registered: of two misses, the one with more is the closer."""
        return sum(row.agrees for row in self.rows)

    @property
    def detail(self) -> dict[str, Any]:
        """As the journal keeps it, in JSON types."""
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
    """Evidence that proves once: its mark, and until when it must be remembered."""

    jti_sha256: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """The caller is the client. `selectors` are the keys that were proved, not their values.

    `trusted_issuer_kind`, `trusted_issuer_id` and `trusted_issuer_revision` name the trusted issuer and its revision;
    `proved_by` how each selector of the proof was proved, those included that SPIRE enforces.
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
        """The claim `attestation.method`: how, or by whose word, it was proved; `none` where it was not."""
        if self.kind is ProofKind.UNATTESTED:
            return "none"
        if self.enrolled:
            return ProofKind.KEY_PAIR.value  # it is one; that it was enrolled is said beside it
        return self.trusted_issuer_kind.value if self.trusted_issuer_kind else self.kind.value

    @property
    def enrolled(self) -> bool:
        """Whether it was proved by a key that a machine enrolled for some hours."""
        return self.kind is ProofKind.ENROLLED_KEY

    @property
    def attested(self) -> bool:
        """False for a client that gets in by its name alone."""
        return self.kind is not ProofKind.UNATTESTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What went wrong with a token of a trusted issuer: the check that failed, or why the check could not be made.

    For the journal and the console, never for the caller.
    """

    trusted_issuer_id: str
    sentence: str


class Unchecked(Unavailable):
    """Nobody can tell at the moment whether the proof holds; `failed` says whose word could not be had, and why."""

    def __init__(self, trusted_issuer: TrustedIssuer, sentence: str) -> None:
        super().__init__("The proof cannot be checked at the moment.")
        self.failed = Failed(trusted_issuer_id=trusted_issuer.id, sentence=sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The caller is not shown to be the client. `details` says what would satisfy, and nothing about the client.

    `gone_from` is the id of the trusted issuer whose cluster said that the workload is gone; `failed` is there where a
    trusted issuer did sign the token, and it does not hold.
    """

    reason: RefusalReason
    details: str
    miss: Miss | None = None
    gone_from: str | None = None
    failed: Failed | None = None


def invalid(details: str) -> Refused:
    """Evidence came and does not hold."""
    return Refused(reason=RefusalReason.INVALID, details=details)
