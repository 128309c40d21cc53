"""APIs: real verifiers that follow the feed and check fresh and older tokens all the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from authsec import InvalidToken, TokenVerifier, VerificationUnavailable
from authsec.clock import Clock

from .databases import DICE
from .observations import Observations, Token

STALE_AFTER = 10.0  # seconds without news after which a verifier accepts nothing
LATE = 3.0  # seconds beyond that limit for a check under way on a busy machine
LAP = 0.25, 0.1  # seconds, of the short and of the long form
NEWEST, RECENT, OLDER = 12, 300, 12  # tokens in a lap: the newest, and as many more of the recent ones


class Apis:
    """Verifiers in threads. Each has a follower and a connection of its own."""

    def __init__(self, issuer: str, seen: Observations, *, long: bool, number: int = 2) -> None:
        self._seen = seen
        self.number = number
        self._between = LAP[long]
        # A clock that is no other's: verifiers of one clock would share a follower.
        self._verifiers = [
            TokenVerifier(
                issuer, "authsec-api", stale_after=STALE_AFTER, clock=Clock(sleep=lambda seconds: time.sleep(seconds))
            )
            for _ in range(number)
        ]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._check, args=(index, verifier), daemon=True)
            for index, verifier in enumerate(self._verifiers)
        ]

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads, check every token once more, and close the verifiers."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        for index, verifier in enumerate(self._verifiers):
            self._lap(index, verifier, list(self._seen.tokens))
            verifier.close()

    def _check(self, index: int, verifier: TokenVerifier) -> None:
        while not self._stop.is_set():
            tokens = self._seen.tokens[-RECENT:]
            newest, recent = tokens[-NEWEST:], tokens[:-NEWEST]
            self._lap(index, verifier, [*newest, *DICE.sample(recent, min(OLDER, len(recent)))])
            time.sleep(self._between)

    def _lap(self, index: int, verifier: TokenVerifier, tokens: Iterable[Token]) -> None:
        for token in tokens:
            asked = time.monotonic()
            says = _said(verifier, token.value)
            self._seen.saw(index, token.jti, says, asked)
            self._seen.answers["api", says] += 1
            if says != "accepted":
                continue
            feed = verifier.health().revocations
            took = time.monotonic() - asked
            if feed is not None and (feed.age is None or feed.age - took > STALE_AFTER + LATE):
                self._seen.stale_accepts.append(f"{token.jti} was accepted with a feed of {feed.age} s ago")


def _said(verifier: TokenVerifier, bearer: str) -> str:
    try:
        verifier.verify(bearer)
    except (InvalidToken, VerificationUnavailable) as error:
        return str(error.reason)
    return "accepted"
