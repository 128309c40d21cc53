"""What is known of one authority's revocations, and since when."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable

from authsec.clock import Clock, Moment, since
from authsec.verifier.key_set import KeySource
from authsec.verifier.revocations.batches import LEEWAY, Batch, read_batch
from authsec.verifier.revocations.entries import BatchRefused, Subject
from authsec.verifier.revocations.state import RevocationState

_log = logging.getLogger("authsec.verifier")


class Feed:
    """Takes batches in, one after the other, and knows how old its knowledge is.

    It is as fresh as the last head that said: this is all. A head is worth one time only, and the later it arrives,
    the less; so somebody who holds the feed back, or plays a recording of it, makes it old.
    """

    def __init__(self, issuer: str, keys: KeySource, clock: Clock) -> None:
        self.issuer = issuer
        self._keys = keys
        self._clock = clock
        self._state = RevocationState()
        self._signed_at = 0  # the newest head's time, by the authority's clock
        self._fresh: Moment | None = None

    @property
    def sequence(self) -> int:
        """How far the feed is known."""
        return self._state.reached.sequence

    def take(self, octets: bytes) -> Batch:
        """Believe a batch, or raise `BatchRefused` or `KeysUnavailable` and remain as it was."""
        now = self._clock.wall()
        batch = read_batch(octets, issuer=self.issuer, asked=self.sequence, keys=self._keys, now=now)
        self._check_history(batch)
        self._apply(batch, now)
        return batch

    def overhear(self, octets: bytes) -> bool:
        """Believe a batch that somebody else asked for, so that it may begin before what is known here.

        Whether nothing is missing after it. One that was signed before what is known tells nothing, neither this nor
        that. Raises as `take` does.
        """
        now = self._clock.wall()
        batch = read_batch(octets, issuer=self.issuer, asked=self.sequence, keys=self._keys, now=now, overlapping=True)
        if batch.signed_at < self._signed_at:
            return False
        self._check_history(batch)
        if batch.signed_at > self._signed_at or batch.last > self.sequence:
            if batch.last < self.sequence and not batch.snapshot:  # what it begins with need not be what is known here
                raise BatchRefused("the feed has gone back")
            self._apply(batch, now)
        return batch.complete

    def _check_history(self, batch: Batch) -> None:
        """Raise `BatchRefused` where what is known here is of another history: then all of this one is new."""
        if batch.follows in (None, self._state.reached.digest):
            return
        _log.warning(
            "the feed of %s has another history than was read up to %d, as after a restored database: it is read anew "
            "from the beginning, and what had ended remains so here", self.issuer, self.sequence,
        )  # fmt: skip
        self._state.begin_anew()
        raise BatchRefused("the history of the feed was replaced; it is read anew from the beginning")

    def _apply(self, batch: Batch, now: float) -> None:
        if batch.snapshot and batch.last < self.sequence:
            _log.warning(
                "the feed of %s has gone back from %d to %d, as after a restored database: what had ended remains so "
                "here, until this process is started anew", self.issuer, self.sequence, batch.last,
            )  # fmt: skip
        self._state.apply(batch)
        if batch.complete and batch.signed_at > self._signed_at:
            self._signed_at = batch.signed_at
            late = max(0.0, now - batch.signed_at - LEEWAY)
            self._fresh = Moment(self._clock.monotonic() - late, now - late)

    def ended(self, subjects: Iterable[Subject], version: int) -> bool:
        """Whether a token that rests on these is known to have been revoked."""
        return self._state.ended(subjects, version)

    @property
    def revoked_keys(self) -> int:
        """How many keys the feed has named as revoked."""
        return self._state.revoked_keys

    def age(self) -> float:
        """Seconds since nothing was missing; infinite before the first time."""
        return math.inf if self._fresh is None else since(self._fresh, self._clock)
