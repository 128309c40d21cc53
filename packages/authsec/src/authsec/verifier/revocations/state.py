"""The state of one authority's revocations: which subjects are revoked, and how old this information is."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from authsec.clock import Clock, Moment, since
from authsec.verifier.key_set import KeySource
from authsec.verifier.revocations.batch import BEGINNING, LEEWAY, Batch, BatchRefused, Entry, Subject, read_batch

_log = logging.getLogger("authsec.verifier")

KEPT: Final = 7 * 86_400 + 3600  # seconds: no authority issues tokens for more than seven days
_BETWEEN_CLEARINGS: Final = 3600
_KEY: Final = "key"


class Feed:
    """Applies batches in order, and measures the age of the known revocations.

    Each batch has a signed head. The age is the time since the newest head that reported no further entries. A repeated
    head does not reset the age. If a head arrives late, its delay is added to the age. So an attacker who delays or
    replays batches makes the feed stale.
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
        """The number of the last entry that was applied."""
        return self._state.reached.sequence

    def take(self, octets: bytes) -> Batch:
        """Verify and apply a batch. Raises `BatchRefused` or `KeysUnavailable`; then no entry is applied."""
        now = self._clock.wall()
        batch = read_batch(octets, issuer=self.issuer, asked=self.sequence, keys=self._keys, now=now)
        self._check_history(batch)
        self._apply(batch, now)
        return batch

    def apply_shared(self, octets: bytes) -> bool:
        """Apply a batch that another worker requested. The batch may begin before this worker's position.

        Return whether the feed is complete after the batch. If this worker already knows a newer head, the batch is
        ignored and the result is False. Raises like `take`.
        """
        now = self._clock.wall()
        batch = read_batch(octets, issuer=self.issuer, asked=self.sequence, keys=self._keys, now=now, overlapping=True)
        if batch.signed_at < self._signed_at:
            return False
        self._check_history(batch)
        if batch.signed_at > self._signed_at or batch.last > self.sequence:
            if batch.last < self.sequence and not batch.snapshot:
                # `read_batch` also accepts a batch that begins earlier, so the end of the feed is checked here.
                raise BatchRefused("the feed went backwards")
            self._apply(batch, now)
        return batch.complete

    def _check_history(self, batch: Batch) -> None:
        """Raise `BatchRefused` if the batch does not follow the entry that this process read last.

        This happens after the authority's database was restored from a backup. The feed is then read again from its
        beginning.
        """
        if batch.follows in (None, self._state.reached.digest):
            return
        _log.warning(
            "the history of the feed of %s changed before entry %d, as after a restored database: the feed is "
"read again from the beginning, and known revocations stay in force here", self.issuer, self.sequence,
        )  # fmt: skip
        self._state.reset()
        raise BatchRefused("the history of the feed was replaced; the feed is read again from the beginning")

    def _apply(self, batch: Batch, now: float) -> None:
        if batch.snapshot and batch.last < self.sequence:
            _log.warning(
                "the feed of %s went back from %d to %d, as after a restored database: known revocations stay in "
"force here until this process restarts", self.issuer, self.sequence, batch.last,
            )  # fmt: skip
        self._state.apply(batch)
        if batch.complete and batch.signed_at > self._signed_at:
            self._signed_at = batch.signed_at
            late = max(0.0, now - batch.signed_at - LEEWAY)
            self._fresh = Moment(self._clock.monotonic() - late, now - late)

    def ended(self, subjects: Iterable[Subject], version: int) -> bool:
        """Whether a known revocation revokes a token with these subjects and this `authority_version`."""
        return self._state.ended(subjects, version)

    @property
    def revoked_keys(self) -> int:
        """The number of keys that the feed has revoked."""
        return self._state.revoked_keys

    def age(self) -> float:
        """Return the seconds since the feed was last complete, or infinity if it never was."""
        return math.inf if self._fresh is None else since(self._fresh, self._clock)


class _Ending(NamedTuple):
    below: float
    at: float


class RevocationState:
    """Applies batches in order, and finds out whether a token is revoked. A revocation is never taken back.

    A snapshot is merged with the known revocations. A snapshot may lack some of them, for example after the
    authority's database was restored. Their tokens remain refused.

    Revocations older than the longest token lifetime are deleted. Their age is measured by the authority's clock.
    A revoked key is never deleted: a thief of the key could sign new tokens at any time. All tokens of a revoked
    key are refused, even with a high `authority_version`.

    One thread applies batches; any number of threads read. A batch that was applied only in part, for example
    because of a fork, can be applied again.
    """

    def __init__(self) -> None:
        self.reached = BEGINNING
        self.revoked_keys = 0  # the number of revoked keys so far
        self._endings: dict[Subject, _Ending] = {}
        self._cleared = 0

    def apply(self, batch: Batch) -> None:
        """Apply a batch. `read_batch` must have accepted the batch for the current position."""
        for entry in batch.entries:
            self._add(entry)
        # The last step: after an interruption, the same batch is requested again.
        if batch.snapshot or batch.through >= self.reached.sequence:
            self.reached = batch.reaches
        if batch.signed_at - self._cleared >= _BETWEEN_CLEARINGS:
            self._cleared = batch.signed_at
            oldest = batch.signed_at - KEPT
            self._endings = {
                subject: ending
                for subject, ending in self._endings.items()
                # A thief of a key can sign tokens at any time.
                if ending.at >= oldest or subject[0] == _KEY
            }

    def reset(self) -> None:
        """Set the position to the beginning of the feed. All known revocations remain."""
        self.reached = BEGINNING

    def ended(self, subjects: Iterable[Subject], version: int) -> bool:
        """Whether a token with these subjects, issued under this authority version, is revoked."""
        endings = self._endings
        for subject in subjects:
            ending = endings.get(subject)
            if ending is not None and version < ending.below:
                return True
        return False

    def __len__(self) -> int:
        return len(self._endings)

    def _add(self, entry: Entry) -> None:
        known = self._endings.get(entry.subject, _Ending(0, 0.0))
        self.revoked_keys += entry.subject[0] == _KEY and entry.subject not in self._endings
        # The attack: a thief of the key writes a high version into a token.
        below = math.inf if entry.subject[0] == _KEY else entry.version
        self._endings[entry.subject] = _Ending(max(known.below, below), max(known.at, entry.at))
