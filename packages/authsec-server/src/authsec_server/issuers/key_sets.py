"""`KeySets`: find a key by its `kid` in the key set of any trusted issuer. Thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from authsec.jose import PublicKey

from authsec_server.db import Database
from authsec_server.issuers.key_cache import Condition, FetchedKeys, KeysState, Waiters
from authsec_server.issuers.key_fetch import LIMITS
from authsec_server.issuers.key_set_parsing import read_key_set
from authsec_server.issuers.model import KeysUnavailable, TrustedIssuer
from authsec_server.outbound import Outbound, OutboundLimits

WAITING = 16  # of 40 worker threads, at most this many wait for keys
WAITING_FOR_ONE = 4


class _Keys(Protocol):
    """The keys of one revision of a trusted issuer."""

    trusted_issuer: TrustedIssuer

    def held(self, kid: str) -> PublicKey | None: ...

    def find(self, kid: str) -> PublicKey | None: ...

    def refresh(self) -> None: ...

    def state(self) -> KeysState: ...


class KeySets:
    """The keys of all trusted issuers. Never call inside a transaction: a call may fetch keys and store them.

    No method checks whether the trusted issuer is enabled.
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
        self._by_id: dict[str, _Keys] = {}

    def find(self, trusted_issuer: TrustedIssuer, kid: str) -> PublicKey | None:
        """Return the trusted issuer's key with this `kid`, or None. Raises `KeysUnavailable`.

        The call may take seconds.
        """
        return self._of(trusted_issuer).find(kid)

    def held(self, trusted_issuer: TrustedIssuer, kid: str) -> PublicKey | None:
        """Return the trusted issuer's key with this `kid` if it is in memory and fresh; otherwise None. Never waits."""
        keys = self._by_id.get(trusted_issuer.id)
        same = keys is not None and keys.trusted_issuer.revision == trusted_issuer.revision
        return keys.held(kid) if keys is not None and same else None

    def refresh(self, trusted_issuer: TrustedIssuer) -> KeysState:
        """Fetch the trusted issuer's keys now. Return the state of the keys, with the failure if the fetch failed."""
        keys = self._of(trusted_issuer)
        keys.refresh()
        return keys.state()

    def state(self, trusted_issuer: TrustedIssuer) -> KeysState:
        """Return the state of the trusted issuer's keys. Sends no request to another server."""
        return self._of(trusted_issuer).state()

    def _of(self, trusted_issuer: TrustedIssuer) -> _Keys:
        with self._lock:
            keys = self._by_id.get(trusted_issuer.id)
            if keys is None or keys.trusted_issuer.revision < trusted_issuer.revision:
                keys = self._by_id[trusted_issuer.id] = self._made(trusted_issuer)
            elif (
                keys.trusted_issuer.revision > trusted_issuer.revision
            ):  # read before a change that others know of already
                raise KeysUnavailable(
                    f"The trusted issuer {trusted_issuer.name!r} was changed while this request was processed."
                )
            return keys

    def _made(self, trusted_issuer: TrustedIssuer) -> _Keys:
        if trusted_issuer.given_keys is not None:
            return _GivenKeys(trusted_issuer)
        return FetchedKeys(
            trusted_issuer,
            self._database,
            self._outbound,
            now=self._now,
            monotonic=self._monotonic,
            limits=self._limits,
            waiters=Waiters(WAITING_FOR_ONE, among=self._waiters),
        )


class _GivenKeys:
    """Keys that an administrator pasted. They stay valid until an administrator replaces them."""

    def __init__(self, trusted_issuer: TrustedIssuer) -> None:
        self.trusted_issuer = trusted_issuer
        assert trusted_issuer.given_keys is not None
        self._keys = read_key_set(trusted_issuer.kind, trusted_issuer.given_keys).keys

    def held(self, kid: str) -> PublicKey | None:
        return self._keys.get(kid)

    def find(self, kid: str) -> PublicKey | None:
        return self._keys.get(kid)

    def refresh(self) -> None:
        """Do nothing: these keys are never fetched."""

    def state(self) -> KeysState:
        return KeysState(condition=Condition.GIVEN, keys=self._keys)
