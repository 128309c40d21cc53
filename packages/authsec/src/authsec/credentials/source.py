"""The interface of a source of proof: the request, the proof, and the search for the first source with a proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from authsec.clock import Clock
from authsec.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRequest:
    """A request to a source: prove to the authority with the issuer `issuer()` that this agent is `client_id`.

    `issuer`, `audience` and `trusted_audience` are functions, because reading the issuer costs a request. Not
    every source needs the issuer. `audience` returns the audience of workload tokens: `proof_audience` if it is
    configured, otherwise the issuer.

    `trusted_audience` returns the same value, or raises `ConfigError` if the issuer cannot be trusted. An issuer is not
    trusted if only the server at `base_url` names it, and its origin differs from `base_url`. If a source lets a
    platform make a new token, the source uses `trusted_audience`. A receiver could use such a token elsewhere.

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
        """Return the Unix time on this machine's clock. The clock may be wrong."""
        return int(self.clock.wall())

    def seconds_left(self) -> float:
        """Return the seconds until the deadline, at least 0."""
        return max(0.0, self.deadline - self.clock.monotonic())


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof of identity as the value of the Authorization header, with a description of its source.

    `if_refused` is the remedy if the authority refuses the proof. `until` is the expiry of the credential that
    made the proof, in Unix time. `until` is None if the source does not know the expiry, or if the proof contains
    it. `is_key_pair` means that the agent's own key signed the proof.
    """

    authorization: str = field(repr=False)
    source: str
    if_refused: str = ""
    until: float | None = None
    is_key_pair: bool = False

    @property
    def assertion(self) -> str | None:
        """The agent's own assertion (`private_key_jwt`, RFC 7523 §3); None for another kind of proof."""
        return self.authorization.partition(" ")[2] if self.is_key_pair else None


class CredentialSource(Protocol):
    """A source of proof. The docstring of the package `authsec.credentials` explains the results."""

    def proof(self, request: ProofRequest) -> Proof | None: ...

    def looked_at(self, request: ProofRequest) -> str:
        """Return where this source searched for a proof, and why it found none.

        The text is for the operator of a refused agent. Its first line becomes an item of a list. Further lines are
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
    """The proof is for another audience, so this authority would refuse the proof.

    `made_for` lists the proof's audiences, which are not verified.
    """

    def __init__(self, message: str, *, made_for: tuple[str, ...], source: str) -> None:
        super().__init__(message, reason="credential_broken")
        self.made_for = made_for
        self.source = source


def broken_proof(message: str) -> ConfigError:
    """Return the error for a proof of this agent that cannot be used. `message` contains the remedy."""
    return ConfigError(message, reason="credential_broken")
