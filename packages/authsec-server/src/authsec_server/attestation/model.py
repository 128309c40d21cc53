"""Evidence and what it proves. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from authsec_server.clients.model import ProofKind, Selector
from authsec_server.sources.model import SourceKind


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


class RefusalReason(StrEnum):
    """Why evidence does not suffice; the endpoint's stable codes."""

    REQUIRED = "attestation_required"
    INVALID = "attestation_invalid"
    MISMATCH = "selectors_mismatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a trust source says of a workload, in a token that it signed; of which client, nobody has asked yet.

    The selectors mean something within this source only: another cluster has a namespace `production` too.
    """

    source_id: str
    source_revision: int
    kind: SourceKind
    selectors: frozenset[Selector]
    until: datetime  # the token's `exp`, at most a day from then


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorRow:
    """One selector of a proof beside what the workload showed for its key; empty where it showed nothing."""

    key: str
    registered: str
    shown: str  # cut short and made visible: to be read by people, never compared
    agrees: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """The proof that came closest, and where it differs. For the journal and the console, never for the caller."""

    proof_id: str
    source_id: str
    rows: tuple[SelectorRow, ...]
    sentence: str

    @property
    def agreeing(self) -> int:
        """How many of the selectors are as registered: of two misses, the one with more is the closer."""
        return sum(row.agrees for row in self.rows)

    @property
    def detail(self) -> dict[str, Any]:
        """As the journal keeps it, in JSON types."""
        rows = [
            {"key": row.key, "registered": row.registered, "shown": row.shown, "agrees": row.agrees}
            for row in self.rows
        ]
        return {"proof_id": self.proof_id, "source_id": self.source_id, "sentence": self.sentence, "selectors": rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleUse:
    """Evidence that proves once: its mark, and until when it must be remembered."""

    jti_sha256: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """The caller is the client. `selectors` are the keys that were proved, not their values.

    `source_kind`, `source_id` and `source_revision` tell whose word it was, and as which revision of it that counted.
    """

    proof_id: str
    kind: ProofKind
    source_kind: SourceKind | None = None
    source_id: str | None = None
    source_revision: int | None = None
    selectors: tuple[str, ...] = ()
    single_use: SingleUse | None = None

    @property
    def method(self) -> str:
        """The claim `attestation.method`: how, or by whose word, it was proved; `none` where it was not."""
        if self.kind is ProofKind.UNATTESTED:
            return "none"
        if self.enrolled:
            return ProofKind.KEY_PAIR.value  # it is one; that it was enrolled is said beside it
        return self.source_kind.value if self.source_kind else self.kind.value

    @property
    def enrolled(self) -> bool:
        """Whether it was proved by a key that a machine enrolled for some hours."""
        return self.kind is ProofKind.ENROLLED_KEY

    @property
    def attested(self) -> bool:
        """False for a client that gets in by its name alone."""
        return self.kind is not ProofKind.UNATTESTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The caller is not shown to be the client. `details` says what would satisfy, and nothing about the client."""

    reason: RefusalReason
    details: str
    miss: Miss | None = None


def invalid(details: str) -> Refused:
    """Evidence came and does not hold."""
    return Refused(reason=RefusalReason.INVALID, details=details)
