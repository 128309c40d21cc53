"""The log about the age of the known revocations, and about the effect on tokens. Each fact is logged once."""

from __future__ import annotations

import logging
import math
import threading
from typing import Final

from authsec.clock import Clock, Moment, moment, since
from authsec.verifier.revocations.leases import Leases, LeaseTerms
from authsec.verifier.revocations.state import Feed

_log = logging.getLogger("authsec.verifier")

_SHORT: Final = 2.0  # seconds: shorter failures, such as a server's restart, are not logged


class FeedLog:
    """The log of one run of the follower, for all leases. Callable from any thread.

    The end of a failure is logged as a warning too. So every log with the failure also shows its end. A failure
    of less than two seconds is not logged, if no revocations became too old meanwhile.
    """

    def __init__(self, feed: Feed, leases: Leases, clock: Clock) -> None:
        self._feed = feed
        self._leases = leases
        self._clock = clock
        self._lock = threading.Lock()
        self._why = "the feed is silent"
        self._began: Moment | None = None  # the start of the failure; None without a failure
        self._unlogged = False  # whether the current failure is not logged yet
        self._logged = False  # whether a line about the failure was logged
        self._outdated_before: set[LeaseTerms] = set()  # the verifiers whose stale revocations were logged

    def record_failure(self, why: str) -> None:
        """Record that the feed cannot be followed, for the reason `why`.

        Call this method when a failure begins, and when its reason changes.
        """
        with self._lock:
            self._why = why
            self._began = self._began or moment(self._clock)
            self._unlogged = True
            self._log_failure()

    def log_lasting_failure(self) -> None:
        """Log a failure that lasts, or revocations that have become too old."""
        with self._lock:
            self._log_failure()

    def record_recovery(self) -> None:
        """Record that the failure has ended, and log its end."""
        if self._began is None:
            return
        with self._lock:
            if self._began is None or self._outdated():
                return
            if self._logged:
                took = since(self._began, self._clock)
                again = ", and tokens are checked against them" if self._outdated_before else ""
                _log.warning("the revocations of %s are known after %.0f seconds%s", self._feed.issuer, took, again)
            self._began = None
            self._unlogged = self._logged = False
            self._outdated_before.clear()

    def _log_failure(self) -> None:
        if self._log_outdated():
            self._logged, self._unlogged = True, False
        elif self._unlogged and self._began is not None and since(self._began, self._clock) >= _SHORT:
            self._logged, self._unlogged = True, False
            _log.warning(
                "the revocations of %s are not known right now: %s%s",
                self._feed.issuer,
                self._why,
                self._until_when(),
            )

    def _log_outdated(self) -> bool:
        """Log each API whose revocations have become too old. Return whether an API was logged."""
        new = self._outdated() - self._outdated_before
        if not new:
            return False
        self._began = self._began or moment(self._clock)
        self._outdated_before |= new
        refused = {terms.audience for terms in new if not terms.asks}
        asked = {terms.audience for terms in new if terms.asks}
        if refused:
            _log.error("no token for %s is accepted: %s", ", ".join(sorted(refused)), self._how_old())
        if asked:
            _log.warning(
                "the authority is asked about each token for %s: %s", ", ".join(sorted(asked)), self._how_old()
            )
        return True

    def _outdated(self) -> set[LeaseTerms]:
        age = self._feed.age()
        return {terms for terms in self._leases.terms() if age > terms.oldest}

    def _how_old(self) -> str:
        age = self._feed.age()
        known = "were never known" if age == math.inf else f"were last known {age:.0f} seconds ago"
        return f"the revocations of {self._feed.issuer} {known}: {self._why}"

    def _until_when(self) -> str:
        """Describe how long tokens are still accepted while the feed cannot be followed."""
        oldest = min((terms.oldest for terms in self._leases.terms()), default=math.inf)
        if oldest == math.inf:
            return "; tokens are accepted until they expire"
        left = oldest - self._feed.age()
        return f"; tokens are accepted for {left:.0f} more seconds" if left >= 0 else ""
