"""The resource side: a process with several verifiers that ask about every token all the time.

Each verifier has a follower and a connection of its own, as if each stood in an API of its own. The process makes
laps: every verifier is asked about every token that counts, then it waits for the next lap. What a verifier says of a
token is told when it changes, with the time (the machine's monotonic clock, which all processes share).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from authsec import InvalidToken, TokenVerifier, VerificationUnavailable
from authsec.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """How the verifiers of a process are made, and how often they are asked."""

    issuer: str
    audience: str
    verifiers: int
    stale_after: float
    lap: float  # seconds from the beginning of one lap to that of the next


@dataclass(frozen=True, slots=True)
class Turn:
    """A verifier says something else of a token than before."""

    verifier: int
    token: int
    says: str
    at: float


@dataclass(slots=True)
class Asking:
    """The tokens that are asked about, and what was last said of each."""

    verifiers: list[TokenVerifier]
    tokens: dict[int, str] = field(default_factory=dict)
    past: list[tuple[int, int]] = field(default_factory=list)
    bearers: list[str] = field(default_factory=list)
    said: dict[tuple[int, int], str] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    laps: list[float] = field(default_factory=list)

    def lap(self) -> None:
        """Ask everybody about every token in use, and somebody about one that was refused before."""
        for token, bearer in self.tokens.items():
            for verifier in range(len(self.verifiers)):
                self._ask(verifier, token, bearer)
        if self.past:
            verifier, token = self.past[len(self.laps) % len(self.past)]
            self._ask(verifier, token, self.bearers[token])

    def take(self, token: int, bearer: str) -> None:
        """Ask about this one, too."""
        self.bearers.append(bearer)
        self.tokens[token] = bearer

    def retire(self, token: int) -> None:
        """From now on ask about this one now and then only."""
        del self.tokens[token]
        self.past += [(verifier, token) for verifier in range(len(self.verifiers))]

    def sweep(self) -> None:
        """Ask everybody about everything there ever was."""
        for token, bearer in enumerate(self.bearers):
            for verifier in range(len(self.verifiers)):
                self._ask(verifier, token, bearer)

    def _ask(self, verifier: int, token: int, bearer: str) -> None:
        says = _said(self.verifiers[verifier], bearer)
        if self.said.get((verifier, token)) != says:
            self.said[verifier, token] = says
            self.turns.append(Turn(verifier, token, says, time.monotonic()))


def _said(verifier: TokenVerifier, bearer: str) -> str:
    try:
        verifier.verify(bearer)
    except (InvalidToken, VerificationUnavailable) as error:
        return str(error.reason)
    return "accepted"


def run(pipe: Connection, side: Side) -> None:
    """Ask until told to end. Orders come and turns go through the pipe."""
    # A clock that is no other's: verifiers of one clock would share a follower.
    clocks = [Clock(sleep=lambda seconds: time.sleep(seconds)) for _ in range(side.verifiers)]
    verifiers = [
        TokenVerifier(side.issuer, side.audience, stale_after=side.stale_after, clock=clock) for clock in clocks
    ]
    asking = Asking(verifiers)
    while _obeyed(pipe, asking):
        began = time.monotonic()
        asking.lap()
        if asking.turns:
            pipe.send(asking.turns)
            asking.turns = []
        took = time.monotonic() - began
        asking.laps.append(max(took, side.lap))
        time.sleep(max(0.0, side.lap - took))
    for verifier in verifiers:
        verifier.close()


def _obeyed(pipe: Connection, asking: Asking) -> bool:
    """Do what was ordered meanwhile; whether to go on."""
    while pipe.poll():
        order: tuple[str, Any] = pipe.recv()
        match order:
            case ("take", (token, bearer)):
                asking.take(token, bearer)
            case ("begin", _):
                asking.laps = []
            case ("retire", token):
                asking.retire(token)
            case ("sweep", _):
                asking.sweep()
                pipe.send(asking.turns)
                asking.turns = []
                pipe.send("swept")
            case _:
                pipe.send(asking.laps)
                return False
    return True
