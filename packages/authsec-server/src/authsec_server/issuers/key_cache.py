"""The cached keys of one trusted issuer in this process: when to fetch keys, and which callers wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import structlog
from authsec.jose import PublicKey
from sqlalchemy.exc import IntegrityError

from authsec_server.db import Database, Tx
from authsec_server.failures import Unavailable
from authsec_server.issuers import store
from authsec_server.issuers.key_fetch import LIMITS, NotFetched, fetch_key_set, trust_of
from authsec_server.issuers.key_set_parsing import KeySet, as_document, read_key_set
from authsec_server.issuers.model import KeptKeys, KeysUnavailable, TrustedIssuer
from authsec_server.outbound import Outbound, OutboundLimits
from authsec_server.web.errors import where

FRESH_SECONDS = 3600  # where the publisher says nothing
SHORTEST, LONGEST = 30, 24 * 3600  # what it may say (spiffe_refresh_hint)
USABLE_SECONDS = 24 * 3600
CLOCKS_DIFFER = 60.0  # seconds by which another server's clock may be ahead
UNKNOWN_KEY_PAUSE = 60.0  # an unknown `kid` causes one fetch in this time: invented names must not make us hammer
RETRY_PAUSE = 5.0


class Condition(StrEnum):
    """Whether a trusted issuer's keys were given or fetched, and whether they are fresh, stale or too old to use."""

    GIVEN = "given"  # by an administrator; never fetched
    FRESH = "fresh"
    STALE = "stale"
    DEAD = "dead"
    NONE = "none"  # none was ever fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSet:
    """A key set in this process.

    The key set was `age` seconds old at the moment `since`, a value of the monotonic clock.
    """

    keys: Mapping[str, PublicKey] = field(hash=False)
    fetched_at: datetime
    refresh_seconds: int
    age: float
    since: float

    def age_at(self, now: datetime, monotonic: float) -> float:
        """Return the age of the key set in seconds, which is the larger of its ages on two clocks.

        One clock is not enough: wall time can be set back, and monotonic time stops while a machine sleeps.
        """
        return max((now - self.fetched_at).total_seconds(), self.age + monotonic - self.since)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysState:
    """The state of a trusted issuer's keys. The times are None if no keys were fetched.

    `failure` is a clause that says why the last fetch failed. It is empty if the last fetch succeeded.
    """

    condition: Condition
    keys: Mapping[str, PublicKey] = field(hash=False)
    fetched_at: datetime | None = None
    fresh_until: datetime | None = None
    usable_until: datetime | None = None
    failed_at: datetime | None = None
    failure: str = ""


def refresh_seconds(hint: int | None) -> int:
    """Return the seconds until the next fetch of a key set.

    `hint` is the interval that the key set contains. The result is between a shortest and a longest interval.
    """
    return FRESH_SECONDS if hint is None else min(max(hint, SHORTEST), LONGEST)


def state_of(held: HeldSet | None, age: float, *, failed_at: datetime | None, failure: str) -> KeysState:
    """Return the state of fetched keys. `age` is the age of the key set in seconds."""
    if held is None:
        return KeysState(condition=Condition.NONE, keys={}, failed_at=failed_at, failure=failure)
    return KeysState(
        condition=_condition(held, age),
        keys=held.keys,
        fetched_at=held.fetched_at,
        fresh_until=held.fetched_at + timedelta(seconds=held.refresh_seconds),
        usable_until=held.fetched_at + timedelta(seconds=USABLE_SECONDS),
        failed_at=failed_at,
        failure=failure,
    )


def _condition(held: HeldSet, age: float) -> Condition:
    if age >= USABLE_SECONDS:
        return Condition.DEAD
    return Condition.STALE if age >= held.refresh_seconds else Condition.FRESH


class Waiters:
    """Limit for the number of threads that wait at the same time. Thread-safe.

    If `among` is set, a thread that waits is also counted in the limit of `among`.
    """

    def __init__(self, at_most: int, *, among: Waiters | None = None) -> None:
        self._free = threading.BoundedSemaphore(at_most)
        self._among = among

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for the event, and return whether it was set in time.

        If too many threads already wait, return at once.
        """
        if event.is_set() or seconds <= 0 or not self._free.acquire(blocking=False):
            return event.is_set()
        try:
            return event.wait(seconds) if self._among is None else self._among.wait(event, seconds)
        finally:
            self._free.release()


log = structlog.get_logger(__name__)

WAIT_SECONDS = 12.0  # for a caller without a key set; longer than any fetch takes
STALE_WAIT = 2.0  # for the caller that finds the set stale: a withdrawn key must not be accepted
UNKNOWN_KEY_WAIT = 1.0  # for a caller that needs an unknown key, which may be invented


class FetchedKeys:
    """The fetched keys of one revision of a trusted issuer. Thread-safe; one fetch at a time.

    Each fetch has its own thread. Only a few callers wait for a fetch (`waiters`), for a limited time. The
    other callers use the cached key set, or are refused at once. This stops an attack: a stranger sends invalid
    tokens that name an issuer whose server never answers. Without the limit, these tokens would block the
    threads that agents of other issuers need.
    """

    def __init__(
        self,
        trusted_issuer: TrustedIssuer,
        database: Database,
        outbound: Outbound,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        limits: OutboundLimits = LIMITS,
        waiters: Waiters,
    ) -> None:
        self.trusted_issuer = trusted_issuer
        self._database = database
        self._outbound = outbound
        self._trust = trust_of(trusted_issuer)
        self._now = now
        self._monotonic = monotonic
        self._limits = limits
        self._waiters = waiters
        self._starting = threading.Lock()
        self._landed: threading.Event | None = None  # of the last fetch
        self._adopting = threading.Lock()
        self._has_looked = False  # into the database
        self._holding = threading.Lock()  # so that a set of the database never replaces a later one
        self._held: HeldSet | None = None
        self._tried: float | None = None
        self._failed_at: datetime | None = None
        self._failure = ""

    def held(self, kid: str) -> PublicKey | None:
        """Return the key with this `kid` if it is in memory and fresh; otherwise None. Never waits."""
        held = self._held  # once: a fetch may replace it meanwhile
        if held is None or held.age_at(self._now(), self._monotonic()) >= held.refresh_seconds:
            return None
        return held.keys.get(kid)

    def find(self, kid: str) -> PublicKey | None:
        """Return the key with this `kid`; None if the trusted issuer has no such key. Raises `KeysUnavailable`."""
        if (key := self.held(kid)) is not None:
            return key
        self._adopt_first()
        if not self._wanted(kid):
            return self._answer(kid)
        landed, is_ours = self._fetching(kid)
        usable = self._usable()
        is_known = usable is not None and kid in usable.keys
        if usable is None:
            patience = WAIT_SECONDS
        elif is_known:
            patience = STALE_WAIT if is_ours else 0.0
        else:
            patience = UNKNOWN_KEY_WAIT
        if not self._waiters.wait(landed, patience) and not is_known:
            raise self._unavailable("they are still being fetched")
        return self._answer(kid)

    def refresh(self) -> None:
        """Fetch the keys now, or wait for the fetch that is running. `state` then returns the result."""
        landed, _ = self._fetching(None)
        landed.wait(WAIT_SECONDS)

    def state(self) -> KeysState:
        """Return the state of the keys, including the keys that other processes have fetched."""
        kept = self._adopt_kept()
        failed_at, failure = self._failed_at, self._failure
        if kept is not None and kept.failed_at is not None and (failed_at is None or kept.failed_at > failed_at):
            failed_at, failure = kept.failed_at, kept.failure
        return state_of(self._held, self._age(), failed_at=failed_at, failure=failure)

    def _fetching(self, kid: str | None) -> tuple[threading.Event, bool]:
        """Start a fetch if none is running. Return the event that is set when the fetch ends.

        The second value says whether this call started the fetch.
        """
        with self._starting:
            if self._landed is not None and not self._landed.is_set():
                return self._landed, False
            self._landed = threading.Event()
            thread = threading.Thread(
                target=self._fly, args=(kid, self._landed), name=f"authsec-keys-{self.trusted_issuer.slug}", daemon=True
            )
            thread.start()
            return self._landed, True

    def _wanted(self, kid: str) -> bool:
        """Return whether a caller that needs this key should fetch a new key set."""
        if self._failure and self._since_tried() < RETRY_PAUSE:
            return False
        usable = self._usable()
        if usable is None or self._age() >= usable.refresh_seconds:
            return True
        return kid not in usable.keys and min(self._since_tried(), self._age()) >= UNKNOWN_KEY_PAUSE

    def _answer(self, kid: str) -> PublicKey | None:
        usable = self._usable()
        if usable is None:
            raise self._unavailable(self._failure or "no keys were fetched")
        key = usable.keys.get(kid)
        if key is None and self._failure:  # not "no such key": the key set is unknown
            raise self._unavailable(self._failure)
        return key

    def _fly(self, kid: str | None, landed: threading.Event) -> None:
        """Fetch the keys, and set the event `landed` at the end.

        If another process has already stored a key set with the key `kid`, that key set is used instead. If `kid`
        is None, the keys are always fetched.
        """
        try:
            with suppress(Unavailable):  # the issuer can be asked although the database cannot
                self._adopt_kept()
            if kid is None or self._wanted(kid):
                self._fetch()
        except Exception as error:  # noqa: BLE001 - whatever it was, the callers wait no longer, and others try again
            self._failed_at, self._failure = self._now(), "they could not be fetched; see the server's log"
            log.error(
                "fetching keys failed",
                trusted_issuer=self.trusted_issuer.slug,
                error=type(error).__name__,
                where=where(error),
            )
        finally:
            landed.set()

    def _adopt_first(self) -> None:
        """Load the stored keys once, before the first fetch.

        Another process may have stored keys, or an earlier process of this server.
        """
        with self._adopting:
            if not self._has_looked:
                self._has_looked = True
                with suppress(Unavailable):  # a fetch looks again
                    self._adopt_kept()

    def _fetch(self) -> None:
        """Fetch the keys and store the result. After a failure, the old key set stays, and its age still grows."""
        asked_at, began = self._now(), self._monotonic()
        try:
            found = fetch_key_set(self.trusted_issuer, self._outbound, self._trust, self._limits)
        except NotFetched as error:
            failure = str(error)
            self._failed_at, self._failure = asked_at, failure
            log.warning("keys could not be renewed", trusted_issuer=self.trusted_issuer.slug, failure=failure)
            self._write(
                lambda tx: store.keep_key_failure(
                    tx.connection, self.trusted_issuer, failed_at=asked_at, failure=failure
                )
            )
        else:
            with self._holding:
                self._hold(found, asked_at, refresh_seconds(found.refresh_hint), age=0.0, since=began)
            self._write(lambda tx: self._keep(tx, found, asked_at))
        finally:
            self._tried = self._monotonic()

    def _keep(self, tx: Tx, found: KeySet, fetched_at: datetime) -> None:
        store.keep_keys(
            tx.connection,
            self.trusted_issuer,
            jwks=as_document(self.trusted_issuer.kind, found.keys),
            fetched_at=fetched_at,
            refresh_seconds=refresh_seconds(found.refresh_hint),
        )

    def _write(self, work: Callable[[Tx], None]) -> None:
        """Store a result for other processes, and for the next start of this server.

        If the result cannot be stored, this process still uses its keys.
        """
        try:
            self._database.append(work)
        except (Unavailable, IntegrityError) as error:  # the trusted issuer was removed meanwhile
            log.warning("keys could not be stored", trusted_issuer=self.trusted_issuer.slug, error=type(error).__name__)

    def _adopt_kept(self) -> KeptKeys | None:
        """Load the stored keys. Use the stored key set if it is newer than the key set in this process.

        The attack: raw SQL writes a key set for a moment, with a time in the future or an interval of years. Servers
        would believe its keys until they end.
        """
        kept = self._database.read(lambda tx: store.find_keys(tx.connection, self.trusted_issuer))
        if kept is not None and kept.jwks and kept.fetched_at and kept.refresh_seconds:
            age = (self._now() - kept.fetched_at).total_seconds()
            with self._holding:
                is_newer = self._held is None or kept.fetched_at > self._held.fetched_at
                if is_newer and age >= -CLOCKS_DIFFER:
                    found = read_key_set(self.trusted_issuer.kind, kept.jwks)
                    seconds = refresh_seconds(kept.refresh_seconds)
                    self._hold(found, kept.fetched_at, seconds, age=max(0.0, age), since=self._monotonic())
        return kept

    def _hold(self, found: KeySet, fetched_at: datetime, seconds: int, *, age: float, since: float) -> None:
        self._held = HeldSet(keys=found.keys, fetched_at=fetched_at, refresh_seconds=seconds, age=age, since=since)
        self._failed_at, self._failure = None, ""

    def _usable(self) -> HeldSet | None:
        return self._held if self._age() < USABLE_SECONDS else None

    def _age(self) -> float:
        held = self._held
        return float("inf") if held is None else held.age_at(self._now(), self._monotonic())

    def _since_tried(self) -> float:
        return float("inf") if self._tried is None else self._monotonic() - self._tried

    def _unavailable(self, why: str) -> KeysUnavailable:
        too_old = "the last fetched keys are more than 24 hours old, and " if self._held and not self._usable() else ""
        return KeysUnavailable(
            f"The keys of the trusted issuer {self.trusted_issuer.name!r} ({self.trusted_issuer.slug}) are not "
            f"available: {too_old}{why}."
        )
