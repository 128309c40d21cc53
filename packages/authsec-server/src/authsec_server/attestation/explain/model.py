"""A token that somebody tries at a trust source: what was asked of it, step by step, and what it would prove. Pure."""

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
from authsec_server.sources.model import Provenance, TrustSource, shown_provenance

_CLIP = 300  # of a claim, as it is shown
_AUDIENCES = 5


class StepName(StrEnum):
    """What is asked of a token, in the order of the real check."""

    FORM = "form"
    SOURCE = "source"
    ISSUER = "issuer"
    SIGNATURE = "signature"
    AUDIENCE = "audience"
    TIMES = "times"
    BINDING = "binding"
    CLAIMS = "claims"
    REVIEW = "review"
    POD = "pod"


class StepState(StrEnum):
    """How that went."""

    HOLDS = "holds"
    FAILS = "fails"
    UNKNOWN = "unknown"  # nobody can tell at the moment
    SKIPPED = "skipped"  # what came before has to hold first


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One question and its answer. `said` is a sentence; `example`, if any, is what to copy."""

    name: StepName
    state: StepState
    said: str
    example: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the token says of itself, fit to be shown. Unless its signature holds, nobody vouches for any of it."""

    issuer: str = ""
    audience: tuple[str, ...] = ()
    subject: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A selector that the token, or what was looked up for it, proves."""

    selector: Selector
    provenance: Provenance

    @property
    def how(self) -> str:
        """How, in words."""
        return shown_provenance(self.selector.key, self.provenance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Satisfied:
    """A client's proof that the workload satisfies; `enabled` is the client."""

    client: Named
    proof_id: str
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """A client's proof that the workload does not satisfy, and how it differs."""

    client: Named
    miss: Miss


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How it went. Nothing of the token is in it but what `Said` and the selectors are.

    `compared` proofs rest on the source; with `more` there are further ones, which were not compared.
    """

    source: TrustSource
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
        """Whether it would be believed: every step holds."""
        return all(step.state is StepState.HOLDS for step in self.steps)

    @property
    def signed(self) -> bool:
        """Whether the source signed it, so that what it says is the source's word."""
        return any(step.name is StepName.SIGNATURE and step.state is StepState.HOLDS for step in self.steps)

    @property
    def forged(self) -> bool:
        """Whether its signature does not hold, as opposed to one that nobody has checked."""
        return any(step.name is StepName.SIGNATURE and step.state is StepState.FAILS for step in self.steps)

    @property
    def detail(self) -> dict[str, Any]:
        """As the journal keeps it: how it went, and nothing of the token."""
        failed = [step.name.value for step in self.steps if step.state in {StepState.FAILS, StepState.UNKNOWN}]
        return {"holds": self.holds, "failed": failed, "satisfied": len(self.satisfied)}


def what_it_says(claims: Mapping[str, Any]) -> Said:
    """The four claims that are shown of every token; each of them may be anything at all."""
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    return Said(
        issuer=_text(claims.get("iss")),
        audience=tuple(_text(each) for each in listed[:_AUDIENCES] if each is not None),
        subject=_text(claims.get("sub")),
        expires_at=_instant(claims.get("exp")),
    )


def visible(text: str) -> str:
    """What somebody else wrote, fit to be shown."""
    return plain(text, _CLIP)


def _text(value: object) -> str:
    return visible(value) if isinstance(value, str) else "" if value is None else "(no text)"


def _instant(value: object) -> datetime | None:
    if type(value) is not int or not 0 <= value < 2**36:  # the year 4147; what is beyond says nothing to anybody
        return None
    return datetime.fromtimestamp(value, UTC)
