"""The token cache of one client, shared by all its threads and event loops.

For each (scope, resource), at most one request is in flight. The cache returns its token without a request
until the token is close to its expiry. Then the next call renews the token in the background. If the
authority fails or does not answer, the cache still returns the token until its expiry. A refusal means that
the delegation was revoked, so the cache drops the token.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

from authsec import traces
from authsec.clock import Clock
from authsec.errors import (
    AuthenticationError,
    AuthSecError,
    DelegationDenied,
    RateLimited,
    ServerError,
    TransportError,
)
from authsec.issued_tokens import record
from authsec.single_flight import Outcome, SingleFlight
from authsec.tokens import DelegationToken, TokenRequest

_log = logging.getLogger("authsec")

Names = str | Sequence[str] | None
"""One or several actions or APIs, as a caller passes them."""

_MOST_ENTRIES = 128
_MOST_ABANDONED = 4  # requests that still run after all their callers have timed out
_FRESH_REFUSAL = 30.0  # seconds: an older refusal of a background renewal is dropped
_FIRST_BACKOFF, _LONGEST_BACKOFF = 1.0, 60.0
_LONGEST_PAUSE = 60.0  # seconds: the longest pause after a Retry-After


@dataclass(frozen=True, slots=True, kw_only=True)
class _LiveToken:
    """A token and its expiry on two clocks.

    The monotonic clock cannot be set. The wall clock continues while the machine is suspended.

    The lifetime is counted from the moment before the request is sent. So the token expires here no later than at
    the authority.
    """

    token: DelegationToken
    ends_monotonic: float
    ends_wall: float

    def left(self, clock: Clock) -> float:
        return min(self.ends_monotonic - clock.monotonic(), self.ends_wall - clock.wall())


class _Entry:
    """The token, the request in flight and the last failures for one (scope, resource). All times are monotonic."""

    __slots__ = (
        "failures",
        "flight",
        "held",
        "overdue_at",
        "pause",
        "refusal",
        "renew_not_before",
        "request",
        "was_used",
    )

    def __init__(self, request: TokenRequest) -> None:
        self.request = request
        self.was_used = False  # whether a lock-free call used the entry since its last move
        self.held: _LiveToken | None = None
        self.flight: SingleFlight | None = None
        self.overdue_at = 0.0
        self.failures = 0
        self.renew_not_before = 0.0
        # The refusal of a background renewal, and the time until which it is raised.
        self.refusal: tuple[AuthSecError, float] | None = None
        # The failure with a Retry-After, and the end of the pause.
        self.pause: tuple[AuthSecError, float] | None = None


class _Fresh(NamedTuple):
    """A token to return until it is to be renewed."""

    token: DelegationToken
    entry: _Entry
    renew_monotonic: float
    renew_wall: float


class TokenCache:
    """A thread-safe and fork-safe cache of delegation tokens.

    `timeout` is the time limit of `fetch` in seconds. A caller waits only half a second longer, even if `fetch`
    takes more time.
    """

    def __init__(
        self, fetch: Callable[[TokenRequest], DelegationToken], *, clock: Clock, margin: float, timeout: float
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._monotonic, self._wall = clock.monotonic, clock.wall
        self._margin = margin
        self._patience = timeout + 0.5
        self._lock = threading.Lock()
        self._entries: OrderedDict[TokenRequest, _Entry] = OrderedDict()
        self._fresh: dict[tuple[Names, Names], _Fresh] = {}  # by scope and resource, exactly as callers pass them
        self._abandoned: set[SingleFlight] = set()
        _caches.add(self)

    def get(self, scope: Names = None, resource: Names = None, *, force_refresh: bool = False) -> DelegationToken:
        """Return a valid token; request a new one if the cache has none, or with `force_refresh`.

        Raises `AuthSecError`.
        """
        if not force_refresh and (token := self._fresh_token(scope, resource)) is not None:
            return token
        found = self._look_up(scope, resource, force_refresh)
        return found.wait() if isinstance(found, SingleFlight) else found

    async def aget(
        self, scope: Names = None, resource: Names = None, *, force_refresh: bool = False
    ) -> DelegationToken:
        """Return a valid token as `get` does, without blocking the event loop."""
        if not force_refresh and (token := self._fresh_token(scope, resource)) is not None:
            return token
        found = self._look_up(scope, resource, force_refresh)
        return await found.wait_async() if isinstance(found, SingleFlight) else found

    def invalidate(self, value: str) -> None:
        """Drop the token with this value. If the cache has a newer token instead, the newer token stays."""
        with self._lock:
            self._fresh.clear()
            for entry in self._entries.values():
                if entry.held is not None and entry.held.token.value == value:
                    entry.held = None

    def _fresh_token(self, scope: Names, resource: Names) -> DelegationToken | None:
        """Return the cached token for exactly this `scope` and `resource`, if the token is not close to its expiry.

        This lookup takes an eighth of the time of `_look_up`, because it builds no request and takes no lock.
        """
        try:
            kept = self._fresh.get((scope, resource))
        except TypeError:  # A list cannot be a key.
            return None
        if kept is None or self._monotonic() >= kept.renew_monotonic or self._wall() >= kept.renew_wall:
            return None
        kept.entry.was_used = True
        return kept.token

    def _look_up(self, scope: Names, resource: Names, force_refresh: bool) -> DelegationToken | SingleFlight:
        found: DelegationToken | SingleFlight
        to_start: SingleFlight | None
        request = TokenRequest.of(scope, resource)
        with self._lock:
            entry = self._entry(request)
            self._raise_refusal(entry)
            held = entry.held
            if held is not None and held.left(self._clock) > 0 and not force_refresh:
                found, to_start = held.token, self._new_renewal(entry, held)
                self._keep_fresh(scope, resource, entry, held)
            else:
                found = to_start = self._join(entry)
        if to_start is not None:
            to_start.start()
        return found

    def _keep_fresh(self, scope: Names, resource: Names, entry: _Entry, held: _LiveToken) -> None:
        if not all(each is None or isinstance(each, (str, tuple)) for each in (scope, resource)):
            return
        if len(self._fresh) >= _MOST_ENTRIES:
            self._fresh.clear()
        margin = self._margin_of(held)
        self._fresh[scope, resource] = _Fresh(
            held.token, entry, renew_monotonic=held.ends_monotonic - margin, renew_wall=held.ends_wall - margin
        )

    def _margin_of(self, held: _LiveToken) -> float:
        """Return for how many seconds before its expiry the token is to be renewed."""
        return min(self._margin, held.token.expires_in / 2)

    def _entry(self, request: TokenRequest) -> _Entry:
        """Return the entry for `request`, or create it. Mark the entry as the most recently used.

        If the cache is full, it deletes the least recently used entry that has no request in flight.
        """
        entry = self._entries.get(request)
        if entry is None:
            if len(self._entries) >= _MOST_ENTRIES:
                self._make_room()
            entry = self._entries[request] = _Entry(request)
        self._entries.move_to_end(request)
        return entry

    def _make_room(self) -> None:
        for entry in [*self._entries.values()]:
            if entry.was_used:
                entry.was_used = False
                self._entries.move_to_end(entry.request)
        idle = [entry.request for entry in self._entries.values() if entry.flight is None]
        for oldest in idle[:1]:
            del self._entries[oldest]
        self._fresh.clear()

    def _raise_refusal(self, entry: _Entry) -> None:
        """Raise the refusal of a background renewal, if no caller has received it yet.

        A refusal older than 30 seconds is dropped.
        """
        news, entry.refusal = entry.refusal, None
        if news is not None and self._clock.monotonic() < news[1]:
            raise copy(news[0]) from None

    def _new_renewal(self, entry: _Entry, held: _LiveToken) -> SingleFlight | None:
        """Return a renewal to start if the token is close to its expiry; otherwise return None.

        There is also no new renewal:

        - while another renewal runs,
        - during the delay after a failed renewal,
        - while too many abandoned requests still run.
        """
        now = self._clock.monotonic()
        if (
            held.left(self._clock) > self._margin_of(held)
            or now < entry.renew_not_before
            or self._in_flight(entry, now)
        ):
            return None
        return self._new_flight(entry, now) if len(self._abandoned) < _MOST_ABANDONED else None

    def _join(self, entry: _Entry) -> SingleFlight:
        """Return the request to wait for: the one in flight, or a new one."""
        now = self._clock.monotonic()
        flight = self._in_flight(entry, now)
        if flight is None:
            if entry.pause is not None and now < entry.pause[1]:
                refusal = copy(entry.pause[0])
                refusal.retry_after = entry.pause[1] - now
                raise refusal from None
            if len(self._abandoned) >= _MOST_ABANDONED:
                raise TransportError(
                    "The authority has stopped answering. Too many requests are waiting, so no new request is sent.",
                    reason="timeout",
                    retryable=True,
                )
            flight = self._new_flight(entry, now)
        flight.joined = True
        return flight

    def _in_flight(self, entry: _Entry, now: float) -> SingleFlight | None:
        """Return the entry's request in flight, or None. Abandon an overdue request.

        A server that sends single bytes slowly can make a request last for hours.
        """
        if entry.flight is not None and now >= entry.overdue_at:
            self._abandoned.add(entry.flight)
            entry.flight = None
        return entry.flight

    def _new_flight(self, entry: _Entry, now: float) -> SingleFlight:
        wall = self._clock.wall()
        flight = SingleFlight(
            traces.in_current_trace(lambda: self._fetch(entry.request)),
            on_done=lambda outcome: self._finish(entry, flight, now, wall, outcome),
            patience=self._patience,
        )
        entry.flight, entry.overdue_at = flight, now + self._patience
        return flight

    def _finish(
        self, entry: _Entry, flight: SingleFlight, started: float, started_wall: float, outcome: Outcome
    ) -> None:
        if isinstance(outcome, DelegationToken):
            record(outcome.value, outcome.expires_in, self._clock)
        with self._lock:
            self._abandoned.discard(flight)
            if entry.flight is not flight:
                # The request was abandoned, so its token may be older than the cached token.
                return
            entry.flight = None
            self._fresh.clear()
            if isinstance(outcome, DelegationToken):
                ends, ends_wall = started + outcome.expires_in, started_wall + outcome.expires_in
                entry.held = _LiveToken(token=outcome, ends_monotonic=ends, ends_wall=ends_wall)
                entry.failures, entry.renew_not_before, entry.pause = 0, 0.0, None
            elif isinstance(outcome, AuthenticationError | DelegationDenied):
                entry.held = None
                if not flight.joined:
                    entry.refusal = outcome, self._clock.monotonic() + _FRESH_REFUSAL
            else:
                self._back_off(entry, outcome)
        _report(outcome, in_background=not flight.joined)

    def _back_off(self, entry: _Entry, failure: AuthSecError) -> None:
        """Delay the next renewal after a failure.

        If the authority sent a Retry-After, calls that have no valid token are delayed too.
        """
        now = self._clock.monotonic()
        backoff = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(entry.failures, 10))
        entry.failures += 1
        if isinstance(failure, RateLimited | ServerError) and failure.retry_after is not None:
            pause = min(failure.retry_after, _LONGEST_PAUSE)
            entry.pause = failure, now + pause
            backoff = max(backoff, pause)
        entry.renew_not_before = now + backoff

    def forget_flights(self) -> None:
        """Replace the lock and remove all requests in flight, after a fork.

        The child process has none of the parent's threads. A thread of the parent may have held the lock.
        """
        self._lock = threading.Lock()
        self._abandoned = set()
        for entry in self._entries.values():
            entry.flight = None


def _report(outcome: Outcome, *, in_background: bool) -> None:
    """Log the outcome of a request. A failed background request is a warning, because no caller receives the error."""
    if isinstance(outcome, DelegationToken):
        _log.debug("got a delegation token, valid for %d s", outcome.expires_in)
    else:
        level = logging.WARNING if in_background else logging.DEBUG
        _log.log(level, "renewing the delegation token failed (%s): %s", outcome.reason, outcome)


_caches: weakref.WeakSet[TokenCache] = weakref.WeakSet()


def forget(tokens: Iterable[str]) -> None:
    """Drop these tokens from every cache of this process."""
    for value in tokens:
        for cache in list(_caches):
            cache.invalidate(value)


def _forget_flights() -> None:
    for cache in _caches:
        cache.forget_flights()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_flights)
