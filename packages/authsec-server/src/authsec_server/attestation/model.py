"""Evidence and what it proves. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from authsec_server.clients.model import ProofKind


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleUse:
    """Evidence that proves once: its mark, and until when it must be remembered."""

    jti_sha256: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """The caller is the client. `selectors` are the keys that were proved, not their values."""

    proof_id: str
    kind: ProofKind
    selectors: tuple[str, ...] = ()
    single_use: SingleUse | None = None

    @property
    def method(self) -> str:
        """The claim `attestation.method`: how it was proved; `none` where it was not."""
        return "none" if self.kind is ProofKind.UNATTESTED else self.kind.value

    @property
    def attested(self) -> bool:
        """False for a client that gets in by its name alone."""
        return self.kind is not ProofKind.UNATTESTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The caller is not shown to be the client. `details` says what would satisfy, and nothing about the client."""

    reason: RefusalReason
    details: str


def invalid(details: str) -> Refused:
    """Evidence came and does not hold."""
    return Refused(reason=RefusalReason.INVALID, details=details)
