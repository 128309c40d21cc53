"""`KeySets`: which key of this source has this `kid`? For all sources, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from authsec.jose import PublicKey

from authsec_server.db import Database
from authsec_server.outbound import Outbound, OutboundLimits
from authsec_server.sources.jwks import read_key_set
from authsec_server.sources.key_cache import Condition, FetchedKeys, KeysState, Waiters
from authsec_server.sources.key_fetch import LIMITS
from authsec_server.sources.model import KeysUnavailable, TrustSource

WAITING = 16  # worker threads that wait for keys of any issuer; of 40, the others stay free
WAITING_FOR_ONE = 4


class _Keys(Protocol):
    """The keys of one revision of a source."""

    source: TrustSource

    def find(self, kid: str) -> PublicKey | None: ...

    def refresh(self) -> None: ...

    def state(self) -> KeysState: ...


class KeySets:
    """The keys of all sources. Never to be asked inside a transaction: it may fetch, and write what it fetched.

    Whether a source is enabled is not asked here.
    """

    def __init__(
        self,
        database: Database,
        outbound: Outbound,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        limits: OutboundLimits = LIMITS,
    ) -> None:
        self._database = database
        self._outbound = outbound
        self._now = now
        self._monotonic = monotonic
        self._limits = limits
        self._waiters = Waiters(WAITING)
        self._lock = threading.Lock()
        self._by_source: dict[str, _Keys] = {}

    def find(self, source: TrustSource, kid: str) -> PublicKey | None:
        """The source's key of this name, None if it has none. May take seconds; raises `KeysUnavailable`."""
        return self._of(source).find(kid)

    def refresh(self, source: TrustSource) -> KeysState:
        """Fetch the source's keys now; how they stand then, with the failure if there was one."""
        keys = self._of(source)
        keys.refresh()
        return keys.state()

    def state(self, source: TrustSource) -> KeysState:
        """How the source's keys stand. Asks no other server."""
        return self._of(source).state()

    def _of(self, source: TrustSource) -> _Keys:
        with self._lock:
            keys = self._by_source.get(source.id)
            if keys is None or keys.source.revision < source.revision:
                keys = self._by_source[source.id] = self._made(source)
            elif keys.source.revision > source.revision:  # read before a change that others know of already
                raise KeysUnavailable(f"The trust source {source.name!r} was changed meanwhile.")
            return keys

    def _made(self, source: TrustSource) -> _Keys:
        if source.given_keys is not None:
            return _GivenKeys(source)
        return FetchedKeys(
            source,
            self._database,
            self._outbound,
            now=self._now,
            monotonic=self._monotonic,
            limits=self._limits,
            waiters=Waiters(WAITING_FOR_ONE, among=self._waiters),
        )


class _GivenKeys:
    """Keys that an administrator gave: good until they are given anew."""

    def __init__(self, source: TrustSource) -> None:
        self.source = source
        assert source.given_keys is not None
        self._keys = read_key_set(source.kind, source.given_keys).keys

    def find(self, kid: str) -> PublicKey | None:
        return self._keys.get(kid)

    def refresh(self) -> None:
        """There is nothing to fetch."""

    def state(self) -> KeysState:
        return KeysState(condition=Condition.GIVEN, keys=self._keys)
