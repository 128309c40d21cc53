"""The interface of a source of proof: the request, the proof, and the first source that has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from authsec.clock import Clock
from authsec.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRequest:
    """A request for a proof that its bearer is `client_id`, for the authority called `issuer()`.

    `issuer`, `audience` and `trusted_audience` are functions, as learning the issuer costs a request that not every
    source needs. `audience` is for whom workload tokens are made: the issuer, unless `proof_audience` is configured.
    `trusted_audience` is the same, but raises `ConfigError` when only the server at `base_url` says so and calls
    itself by another name: it is for sources that have a token *made*, which whoever receives it can use elsewhere.

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
        """Unix time, by the clock of this machine, which may be wrong."""
        return int(self.clock.wall())

    def seconds_left(self) -> float:
        """How long a source may take, at least 0."""
        return max(0.0, self.deadline - self.clock.monotonic())


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The value of the Authorization header, and in words where it came from.

    `if_refused` is what to look at when the authority does not accept it. `until` is when what made it ends, in Unix
    time, where the source knows that and the proof does not say it.
    """

    authorization: str = field(repr=False)
    source: str
    if_refused: str = ""
    until: float | None = None


class CredentialSource(Protocol):
    """A place where a proof may be found. See the package's docstring for the answers."""

    def proof(self, request: ProofRequest) -> Proof | None: ...

    def looked_at(self, request: ProofRequest) -> str:
        """Where this source looks, and why there was nothing: for the person whose agent was refused.

        The first line is one of a list. Further lines say how to mend it, if this source is the one that was meant.
        """
        ...


def find_proof(sources: Sequence[CredentialSource], request: ProofRequest) -> Proof | None:
    """The proof of the first source that has one."""
    for source in sources:
        proof = source.proof(request)
        if proof is not None:
            return proof
    return None


class WrongProofAudience(ConfigError):
    """A proof that this authority would refuse, since it was made for others: `made_for`, as it says itself."""

    def __init__(self, message: str, *, made_for: tuple[str, ...], source: str) -> None:
        super().__init__(message, reason="credential_broken")
        self.made_for = made_for
        self.source = source


def broken_proof(message: str) -> ConfigError:
    """For a proof that is meant to be this agent's and cannot be used; `message` says how to mend it."""
    return ConfigError(message, reason="credential_broken")
