"""Result of a token test: each step with its outcome, and the selectors that the token would prove. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from authsec.safe_text import plain

from authsec_server.attestation.model import Miss
from authsec_server.audit.model import Named
from authsec_server.clients.model import Selector
from authsec_server.issuers.model import Provenance, TrustedIssuer, shown_provenance

_CLIP = 300  # of a claim, as it is shown
_AUDIENCES = 5


class StepName(StrEnum):
    """The steps of a token test, in the same order as in the verification of an agent's token."""

    FORM = "form"
    TRUSTED_ISSUER = "trusted_issuer"
    ISSUER = "issuer"
    SIGNATURE = "signature"
    AUDIENCE = "audience"
    TIMES = "times"
    BINDING = "binding"
    CLAIMS = "claims"
    REVIEW = "review"
    POD = "pod"


class StepState(StrEnum):
    """The outcome of a step."""

    HOLDS = "holds"
    FAILS = "fails"
    UNKNOWN = "unknown"  # cannot be checked at the moment
    SKIPPED = "skipped"  # an earlier step failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step and its outcome. `said` is a sentence; `example`, if not empty, is text to copy."""

    name: StepName
    state: StepState
    said: str
    example: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Claims of the token, safe to show. The claims are unverified unless the signature is valid."""

    issuer: str = ""
    audience: tuple[str, ...] = ()
    subject: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A selector, and whether the token or a look-up proves it."""

    selector: Selector
    provenance: Provenance

    @property
    def how(self) -> str:
        """Describe in words how the selector is proved."""
        return shown_provenance(self.selector.key, self.provenance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Satisfied:
    """A client's proof that the workload satisfies; `enabled` says whether the client is enabled."""

    client: Named
    proof_id: str
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """A client's proof that the workload does not satisfy, and the differences."""

    client: Named
    miss: Miss


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenExplanation:
    """Result of a token test. From the token, the result contains only `Said` and the selectors.

    `compared` is the number of the trusted issuer's proofs that were compared with the token. `more` says that
    the trusted issuer has further proofs, which were not compared.
    """

    trusted_issuer: TrustedIssuer
    notes: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    said: Said | None = None
    selectors: tuple[Shown, ...] = ()
    satisfied: tuple[Satisfied, ...] = ()
    nearest: tuple[Nearest, ...] = ()
    compared: int = 0
    more: bool = False

    @property
    def holds(self) -> bool:
        """Return whether the token would be accepted: every step succeeded."""
        return all(step.state is StepState.HOLDS for step in self.steps)

    @property
    def signed(self) -> bool:
        """Return whether the trusted issuer signed the token and its claims."""
        return any(step.name is StepName.SIGNATURE and step.state is StepState.HOLDS for step in self.steps)

    @property
    def forged(self) -> bool:
        """Return whether the signature is invalid. False if the signature was not checked."""
        return any(step.name is StepName.SIGNATURE and step.state is StepState.FAILS for step in self.steps)

    @property
    def detail(self) -> dict[str, Any]:
        """Return the result for the audit log, without anything of the token."""
        failed = [step.name.value for step in self.steps if step.state in {StepState.FAILS, StepState.UNKNOWN}]
        return {"holds": self.holds, "failed": failed, "satisfied": len(self.satisfied)}


def summarise_claims(claims: Mapping[str, Any]) -> Said:
    """Extract the four claims that the test shows for every token. Each claim may have any type."""
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    return Said(
        issuer=_text(claims.get("iss")),
        audience=tuple(_text(each) for each in listed[:_AUDIENCES] if each is not None),
        subject=_text(claims.get("sub")),
        expires_at=_instant(claims.get("exp")),
    )


def visible(text: str) -> str:
    """Make text from the token safe to show."""
    return plain(text, _CLIP)


def _text(value: object) -> str:
    return visible(value) if isinstance(value, str) else "" if value is None else "(no text)"


def _instant(value: object) -> datetime | None:
    if type(value) is not int or not 0 <= value < 2**36:  # the year 4147; what is beyond says nothing to anybody
        return None
    return datetime.fromtimestamp(value, UTC)
