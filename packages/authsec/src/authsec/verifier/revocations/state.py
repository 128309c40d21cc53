"""What has ended, as far as the feed has told. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from authsec.verifier.revocations.batches import BEGINNING, Batch
from authsec.verifier.revocations.entries import Entry, Subject

KEPT: Final = 7 * 86_400 + 3600  # seconds: no token lives longer than seven days, whatever an authority is set to
_BETWEEN_CLEARINGS: Final = 3600
_KEY: Final = "key"


class _Ending(NamedTuple):
    below: float
    at: float


class RevocationState:
    """Applies batches in order and tells of a token whether it has ended. What has ended stays so.

    A snapshot is merged with what is known. One that takes something back (the authority's database was restored, say)
    is not followed in that: tokens that were refused here remain refused. What is older than any token can be is
    forgotten, by the authority's clock and not by ours. A revoked key never is, whatever its tokens say.

    One thread applies, any number ask. A batch that was applied in part, as after a fork, can be applied again.
    """

    def __init__(self) -> None:
        self.reached = BEGINNING
        self.revoked_keys = 0  # how many keys have been named as revoked
        self._endings: dict[Subject, _Ending] = {}
        self._cleared = 0

    def apply(self, batch: Batch) -> None:
        """Take in a batch that `read_batch` has let pass for the sequence that is reached here."""
        for entry in batch.entries:
            self._add(entry)
        # Last: until then the batch is asked for again.
        if batch.snapshot or batch.through >= self.reached.sequence:
            self.reached = batch.reaches
        if batch.signed_at - self._cleared >= _BETWEEN_CLEARINGS:
            self._cleared = batch.signed_at
            oldest = batch.signed_at - KEPT
            self._endings = {
                subject: ending
                for subject, ending in self._endings.items()
                if ending.at >= oldest or subject[0] == _KEY  # who has somebody's key can sign with it at any time
            }

    def begin_anew(self) -> None:
        """The feed is to be read from its beginning. What has ended stays so."""
        self.reached = BEGINNING

    def ended(self, subjects: Iterable[Subject], version: int) -> bool:
        """Whether a token that rests on these, decided under this version of the authority, has been revoked."""
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
        # Whoever has stolen a key writes into a token whatever version would help.
        below = math.inf if entry.subject[0] == _KEY else entry.version
        self._endings[entry.subject] = _Ending(max(known.below, below), max(known.at, entry.at))
