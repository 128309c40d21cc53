"""The interface of a source of proof: the request, the proof, and the first source that has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from authsec.clock import Clock
from authsec.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRequest:
    """A request for a proof that the agent is `client_id`, for the authority with the issuer `issuer()`.

    `issuer`, `audience` and `trusted_audience` are functions: reading the issuer costs a request that not every
    source needs. `audience` is the audience of workload tokens: the issuer, unless `proof_audience` is
    configured.

    `trusted_audience` returns the same value, but raises `ConfigError` in one case: only the server at `base_url`
    names the issuer, and the issuer has another origin. Sources that have a token *made* use `trusted_audience`,
    because a receiver could use such a token elsewhere.

    `deadline` is on the monotonic clock.
    """

    client_id: str
    issuer: Callable[[], str]
    audience: Callable[[], str]
    trusted_audience: Callable[[], str]
    clock: Clock
    deadline: float
    token_bytes: Callable[[int], bytes]

    @property
    def now(self) -> int:
        """Return Unix time by this machine's clock, which may be wrong."""
        return int(self.clock.wall())

    def seconds_left(self) -> float:
        """Return the seconds until the deadline, at least 0."""
        return max(0.0, self.deadline - self.clock.monotonic())


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The value of the Authorization header, and a description of its source.

    `if_refused` is the remedy if the authority refuses the proof. `until` is the expiry of the credential that
    made the proof, in Unix time. It is set only if the source knows this time and the proof does not contain it.
    """

    authorization: str = field(repr=False)
    source: str
    if_refused: str = ""
    until: float | None = None


class CredentialSource(Protocol):
    """A source of proof. The package's docstring explains the results."""

    def proof(self, request: ProofRequest) -> Proof | None: ...

    def looked_at(self, request: ProofRequest) -> str:
        """Return the place where this source searches, and the reason why it found nothing.

        The text is for the operator of a refused agent. The first line becomes an item of a list. Further lines are
        the remedy, if the agent should use this source.
        """
        ...


def find_proof(sources: Sequence[CredentialSource], request: ProofRequest) -> Proof | None:
    """Return the proof of the first source that has one, or None."""
    for source in sources:
        proof = source.proof(request)
        if proof is not None:
            return proof
    return None


class WrongProofAudience(ConfigError):
    """The proof has another audience, so this authority would refuse it. `made_for` lists the unverified audiences."""

    def __init__(self, message: str, *, made_for: tuple[str, ...], source: str) -> None:
        super().__init__(message, reason="credential_broken")
        self.made_for = made_for
        self.source = source


def broken_proof(message: str) -> ConfigError:
    """Return the error for this agent's proof if it cannot be used; `message` contains the remedy."""
    return ConfigError(message, reason="credential_broken")
