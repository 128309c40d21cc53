"""What agents, administrators and APIs saw during a run. Times are of the machine's monotonic clock, in seconds."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from authsec.jose import parse_compact

REFUSED, ACCEPTED, CLOSED = "token_revoked", "accepted", "revocations_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A delegation token that an agent received. `digest` is the SHA-256 (hex) of the signing input."""

    jti: str
    client: str
    delegations: tuple[str, ...]
    roles: tuple[str, ...]
    version: int
    digest: str
    sent: float
    received: float
    port: int
    value: str = field(default="", repr=False)

    @classmethod
    def read(cls, value: str, *, sent: float, received: float, port: int) -> Token:
        """Read the claims of a compact JWS without a check of the signature."""
        claims: Mapping[str, Any] = parse_compact(value).claims
        return cls(
            jti=claims["jti"],
            client=claims["client_id"],
            delegations=tuple(claims["delegation_ids"]),
            roles=tuple(claims["roles"]),
            version=claims["authority_version"],
            digest=sha256(value.rpartition(".")[0].encode()).hexdigest(),
            sent=sent,
            received=received,
            port=port,
            value=value,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change that an administrator asked for. `kind` is the event kind; `answered` is None without a 2xx answer."""

    kind: str
    subject: str
    request_id: str
    sent: float
    answered: float | None

    @property
    def uncertain(self) -> bool:
        """Whether the server may have made the change without an acknowledgement."""
        return self.answered is None

    def covers(self, token: Token) -> bool:
        """Whether the change ends tokens such as this one, if the token is older than the change."""
        match self.kind:
            case "client.disabled" | "client.tokens_revoked":
                return token.client == self.subject
            case "delegation.revoked":
                return self.subject in token.delegations
            case "role.edited":
                return self.subject in token.roles
            case "token.revoked":
                return token.jti == self.subject
        return False


@dataclass(slots=True)
class Sighting:
    """What one verifier said of one token."""

    first_accepted: float = math.inf
    last_accepted: float = -math.inf
    first_refused: float = math.inf
    accepted_again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time span, such as that of a fault with its recovery, or from a backup to its restore."""

    begin: float
    end: float

    def has(self, moment: float) -> bool:
        """Whether the moment is inside."""
        return self.begin <= moment <= self.end


@dataclass(slots=True)
class Observations:
    """All that was seen. Threads append without a lock; readers wait until the threads have ended."""

    tokens: list[Token] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    sightings: dict[tuple[int, str], Sighting] = field(default_factory=dict)
    stale_accepts: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    lasting: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    ready: list[tuple[int, float, int]] = field(default_factory=list)
    faults: list[Window] = field(default_factory=list)
    lost: list[Window] = field(default_factory=list)
    slowest_change: float = 0.0  # seconds, of a change beside a frozen server

    def answered(self, what: str, status: int, text: str = "") -> None:
        """Count an answer; 0 is none. A status that no fault excuses is kept with its text."""
        self.answers[what, str(status) if status else "none"] += 1
        if status >= 500 and status != 503:
            self.unexpected.append(f"{what}: {status} {text[:300]}")

    def saw(self, verifier: int, jti: str, says: str, asked: float) -> None:
        """Note what a verifier said; `asked` is when the check began."""
        sighting = self.sightings.setdefault((verifier, jti), Sighting())
        if says == ACCEPTED:
            sighting.first_accepted = min(sighting.first_accepted, time.monotonic())
            sighting.last_accepted = asked
            sighting.accepted_again |= asked > sighting.first_refused
        elif says == REFUSED:
            sighting.first_refused = min(sighting.first_refused, time.monotonic())

    def is_lost(self, moment: float) -> bool:
        """Whether a restored backup is older than this moment."""
        return any(window.has(moment) for window in self.lost)
