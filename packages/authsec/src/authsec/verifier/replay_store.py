"""The proofs that were used in this process, so that each proof is accepted once (RFC 9449 §11.1)."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from typing import Final

from authsec.errors import VerificationUnavailable
from authsec.jose.dpop import WINDOW_SECONDS, DpopProof

_log = logging.getLogger("authsec.verifier")

MOST_PROOFS: Final = 200_000
"""The most proofs in the store: 3,300 requests a second for a minute. They take about 20 MB."""
_OCTETS: Final = 16  # of a digest


class ReplayStore:
    """Remembers each proof for as long as its `iat` is accepted. Callable from any thread.

    The store belongs to one process: another process accepts the same proof once more. A full store accepts no
    further proof. If the store dropped old proofs instead, an agent could send many proofs and then replay one.
    """

    def __init__(self, *, most: int = MOST_PROOFS, window_seconds: int = WINDOW_SECONDS) -> None:
        self._most = most
        self._window = window_seconds
        # By `iat`, so that all proofs of a second are dropped together. A proof always has the same `iat`.
        self._by_second: dict[int, set[bytes]] = {}
        self._count = 0
        self._dropped_at = -1
        # The latest second whose proofs were dropped. If the clock is set back, its proofs could be accepted again.
        self._dropped_until = -1
        self._is_full = False
        self._reset()

    def __len__(self) -> int:
        return self._count

    def add(self, proof: DpopProof, now: float) -> bool:
        """Add a proof that passed all other checks at the time `now`. Return False if the proof was used before.

        Raises `VerificationUnavailable` if the store is full.
        """
        digest = hashlib.sha256(f"{proof.thumbprint}.{proof.jti}".encode()).digest()[:_OCTETS]
        if self._process != os.getpid():  # After a fork, a thread of the parent may have held the lock.
            self._reset()
        with self._lock:
            self._drop(now)
            if proof.issued_at <= self._dropped_until:
                return False
            if digest in self._by_second.get(proof.issued_at, ()):
                return False
            if self._count >= self._most:
                raise self._full()
            self._by_second.setdefault(proof.issued_at, set()).add(digest)
            self._count += 1
            return True

    def _drop(self, now: float) -> None:
        """Drop the proofs whose `iat` is too old to be accepted."""
        if int(now) == self._dropped_at:
            return
        self._dropped_at = int(now)
        for second in [second for second in self._by_second if second < now - self._window]:
            self._count -= len(self._by_second.pop(second))
            self._dropped_until = max(self._dropped_until, second)
            self._is_full = False

    def _full(self) -> VerificationUnavailable:
        if not self._is_full:  # Log once, not for each request.
            self._is_full = True
            _log.error("%d DPoP proofs were used within %d s: no further one is accepted", self._most, self._window)
        return VerificationUnavailable(
            f"This process has accepted {self._most} DPoP proofs within {self._window} s.",
            reason="dpop_store_full",
            details="This API accepts further proofs when the earlier ones are too old to be used again.",
            retry_after=float(self._window),
        )

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
