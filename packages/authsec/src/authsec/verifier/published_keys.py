"""The key set that an authority publishes. The authority's metadata (RFC 8414) contains its address.

The set is fetched again when it is too old. If the authority is unreachable, its keys remain in use for a
limited time.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from authsec.clock import Clock, Moment, moment, since
from authsec.errors import ConfigError, KeysUnavailable
from authsec.jose import PublicKey
from authsec.verifier.documents import AnotherIssuer, DocumentRefused, published_address
from authsec.verifier.key_set import KeysHealth, usable_keys

_log = logging.getLogger("authsec.verifier")

RETRY_PAUSE: Final = 10.0  # seconds between two fetches while the authority does not answer
# The same, but shorter: without any key set, no token can be verified.
FIRST_PAUSE: Final = 2.0
SHORTEST_PAUSE: Final = 1.0  # the least value of unknown_key_pause, in seconds


@dataclass(frozen=True, slots=True)
class _Snapshot:
    keys: Mapping[str, PublicKey]
    fetched: Moment


class PublishedKeys:
    """The key set that `issuer` publishes. Callable from any thread; single flight: one fetch at a time.

    The age of the set decides what happens:

    - Below `fresh_for` seconds, the set is used without a fetch.
    - Below twice that age, the set is used while a background thread fetches a new set.
    - Above twice that age, a caller waits for the new set.
    - If the authority cannot be reached, the set is used until it is `keep_for` seconds old.

    A `kid` that is not in the set causes at most one fetch per `unknown_key_pause` seconds. Without this limit,
    callers could flood the authority with requests by sending invented `kid`s. If the number `revoked_keys`
    rises, one more fetch is permitted: after a revocation the authority signs with another key at once.

    `named` is the metadata member with the set's address. `without` says in error texts what happens without a
    set. The log has one line for each failure with its consequence, and one line for the end of the failure.
    """

    def __init__(
        self,
        issuer: str,
        fetch: Callable[[str], Mapping[str, Any]],
        *,
        clock: Clock,
        fresh_for: float,
        keep_for: float,
        unknown_key_pause: float,
        named: str = "jwks_uri",
        without: str = "no token can be verified",
    ) -> None:
        if not 0 < fresh_for <= keep_for or unknown_key_pause < SHORTEST_PAUSE:
            raise ConfigError(
                "fresh_for must be above 0 s and at most keep_for. unknown_key_pause must be at least "
                f"{SHORTEST_PAUSE:g} s",
                reason="key_times_invalid",
            )
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._fresh_for = fresh_for
        self._keep_for = keep_for
        self._unknown_key_pause = unknown_key_pause
        self._named = named
        self._without = without
        self._snapshot: _Snapshot | None = None
        self._failure: str | None = None  # why the last fetch failed; None if it succeeded
        self._retryable = True  # whether the failure may end without a person's help
        self._failing: Moment | None = None  # the start of the failure; None without a failure
        self._logged: tuple[str | None, bool] | None = None  # the last logged failure
        self._tries = 0
        self._tried: Moment | None = None
        self._pause = RETRY_PAUSE  # seconds after a failed fetch
        self._looked: Moment | None = None
        self.revoked_keys: Callable[[], int] = lambda: 0  # the number of revoked keys in the feed
        self._revoked_by_then = 0  # that number at the last search for an unknown kid
        self._make_locks()

    def find_cached(self, kid: str) -> PublicKey | None:
        snapshot = self._snapshot
        if snapshot is None or since(snapshot.fetched, self._clock) >= self._fresh_for:
            return None
        return snapshot.keys.get(kid)

    def find(self, kid: str) -> PublicKey | None:
        self._handle_fork()
        tries = self._tries
        key = self._current().keys.get(kid)
        if key is not None:
            return key
        if self._tries == tries:
            self._look_again()
        return self._found_anew(kid)

    def check_current(self) -> None:
        self._handle_fork()
        self._current()

    def health(self) -> KeysHealth:
        age = self._age()
        return KeysHealth(age=None if age == math.inf else age, failure=self._failure)

    def _current(self) -> _Snapshot:
        """Return the current set, and refresh it if it is too old. Raises `KeysUnavailable`."""
        age = self._age()
        pausing = self._failure is not None and self._since(self._tried) < self._pause
        if age >= self._fresh_for and not pausing:
            if age < self._keep_for and (age < 2 * self._fresh_for or self._failure is not None):
                self._refetch_in_background()
            else:
                self._refetch()
        snapshot = self._snapshot
        if snapshot is None or self._age() >= self._keep_for:
            self._log_failure()
            raise self._unavailable()
        return snapshot

    def _look_again(self) -> None:
        """Fetch again to find a newly published key, if the limit permits it. Concurrent callers wait for one fetch."""
        with self._look:
            revoked = self.revoked_keys()
            # The failed fetch gave no answer, so it does not use up the permitted fetch.
            failed = self._failure is not None and self._since(self._tried) >= self._pause
            if failed or self._since(self._looked) >= self._unknown_key_pause or revoked != self._revoked_by_then:
                self._looked, self._revoked_by_then = self._now(), revoked
                self._refetch()

    def _found_anew(self, kid: str) -> PublicKey | None:
        """Return the key from the newest set; None if the set does not have it.

        A background fetch may have brought the set meanwhile. Raises `KeysUnavailable` if the key is missing and the
        last fetch failed.
        """
        snapshot = self._snapshot
        key = None if snapshot is None else snapshot.keys.get(kid)
        if key is None and self._failure is not None:
            # The answer cannot be "no such key", because the fetch failed.
            raise self._unavailable()
        return key

    def _refetch(self) -> None:
        """Fetch the set. If a fetch is already running, wait for its end instead."""
        tries = self._tries
        with self._flight:
            if self._tries == tries:
                self._try()

    def _refetch_in_background(self) -> None:
        if not self._flight.acquire(blocking=False):
            return

        def run() -> None:
            try:
                if self._age() >= self._fresh_for:  # Otherwise another thread has already fetched the set.
                    self._try()
            finally:
                self._flight.release()

        try:
            threading.Thread(target=run, name="authsec-keys", daemon=True).start()
        except RuntimeError:  # No thread can start. The set is still valid, and the next caller tries again.
            self._flight.release()

    def _try(self) -> None:
        """Fetch the set once.

        The caller must have the lock. After a failure, the old set and its age stay as they are.
        """
        began = self._now()
        try:
            keys = self._download()
        except DocumentRefused as error:
            self._failure, self._failing = str(error), self._failing or began
            self._retryable = not isinstance(error, AnotherIssuer)
            self._log_failure()
        else:
            self._snapshot = _Snapshot(keys, self._now())
            self._log_recovery()
            self._failure = self._failing = None
        finally:
            self._tried = self._now()
            self._pause = self._pause_after(self._since(began))
            self._tries += 1

    def _pause_after(self, took: float) -> float:
        """Return the pause before the next fetch, in seconds. `took` is the duration of the failed fetch.

        While there is no key set yet, a slow fetch makes the pause longer. So most callers get an error at once,
        instead of waiting for another fetch.
        """
        if self._snapshot is not None:
            return RETRY_PAUSE
        return min(max(FIRST_PAUSE, 2 * took), RETRY_PAUSE)

    def _log_failure(self) -> None:
        """Log each failure once. Log the failure once more when the set is so old that all tokens are refused."""
        age = self._age()
        usable = age < self._keep_for
        if self._logged == (self._failure, usable):
            return
        self._logged = (self._failure, usable)
        if usable:
            _log.warning(
                "the keys of %s cannot be renewed: %s. The keys that were fetched %.0f seconds ago are used for "
                "%.0f more seconds",
                self._issuer, self._failure, age, self._keep_for - age,
            )  # fmt: skip
        else:
            _log.error("the keys of %s are not available, so %s: %s", self._issuer, self._without, self._failure)

    def _log_recovery(self) -> None:
        """Log the end of a failure.

        The level is a warning, so that every log with the failure also shows its end.
        """
        if self._logged is not None:
            _log.warning(
                "the keys of %s are available again after %.0f seconds", self._issuer, self._since(self._failing)
            )
        self._logged = None

    def _download(self) -> Mapping[str, PublicKey]:
        jwks_uri = published_address(self._issuer, self._named, self._fetch)
        keys = usable_keys(self._fetch(jwks_uri), alg_required=True)
        if not keys:  # An empty set is an error, so it never replaces a usable set.
            raise DocumentRefused(f"{jwks_uri} has no usable key")
        return keys

    def _unavailable(self) -> KeysUnavailable:
        pause = max(1.0, self._pause - self._since(self._tried))
        return KeysUnavailable(
            f"The keys of {self._issuer} are not available, so {self._without}: {self._failure}.",
            retry_after=math.ceil(pause),
            retryable=self._retryable,
        )

    def _age(self) -> float:
        snapshot = self._snapshot
        return math.inf if snapshot is None else self._since(snapshot.fetched)

    def _since(self, earlier: Moment | None) -> float:
        return math.inf if earlier is None else since(earlier, self._clock)

    def _now(self) -> Moment:
        return moment(self._clock)

    def _handle_fork(self) -> None:
        if self._process != os.getpid():  # After a fork, the thread that has the lock exists only in the parent.
            self._make_locks()

    def _make_locks(self) -> None:
        self._flight = threading.Lock()
        self._look = threading.Lock()
        self._process = os.getpid()
