"""The provider's description and keys, fetched when needed and kept for an hour."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from authsec.jose import PublicKey
from authsec.verifier.key_set import usable_keys

from authsec_server.accounts.oidc.discovery import Provider, discovery_url, read_provider
from authsec_server.accounts.oidc.refusal import OpenIdRefusal, SignInRefused
from authsec_server.outbound import Outbound, OutboundFailed

FRESH_SECONDS = 3600.0
UNKNOWN_KEY_PAUSE = 60.0  # a new key is looked for at most so often: whoever invents names must not make us hammer
RETRY_PAUSE = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    value: T
    at: float


class Directory:
    """What is known of one provider. Used from any thread; one fetch at a time.

    While the provider does not answer, those who come within five seconds of a failure are refused with it at once:
    they would only hold threads that others need.
    """

    def __init__(self, issuer: str, outbound: Outbound, monotonic: Callable[[], float]) -> None:
        self._issuer = issuer
        self._outbound = outbound
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._provider: _Kept[Provider] | None = None
        self._keys: _Kept[Mapping[str, PublicKey]] | None = None
        self._failed: _Kept[str] | None = None

    def provider(self) -> Provider:
        """The provider. Raises `SignInRefused`."""
        with self._lock:
            return self._current_provider()

    def key(self, kid: str) -> PublicKey | None:
        """The provider's key of this name, None if it has none. Raises `SignInRefused`."""
        with self._lock:
            kept = self._keys
            if kept is None or self._age(kept) >= (FRESH_SECONDS if kid in kept.value else UNKNOWN_KEY_PAUSE):
                kept = self._keys = self._fetch_keys()
            return kept.value.get(kid)

    def _current_provider(self) -> Provider:
        kept = self._provider
        if kept is None or self._age(kept) >= FRESH_SECONDS:
            document = self._fetch(discovery_url(self._issuer))
            kept = self._provider = _Kept(read_provider(document, self._issuer, self._outbound), self._monotonic())
        return kept.value

    def _fetch_keys(self) -> _Kept[Mapping[str, PublicKey]]:
        keys = usable_keys(self._fetch(self._current_provider().jwks_uri))
        return _Kept(keys, self._monotonic())

    def _fetch(self, url: str) -> Mapping[str, Any]:
        if self._failed is not None and self._age(self._failed) < RETRY_PAUSE:
            raise SignInRefused(OpenIdRefusal.UNAVAILABLE, self._failed.value)
        try:
            answer = self._outbound.get(url)
            if answer.status == 200:
                return answer.json_object()
            failure = f"{answer.source} answers {answer.status}"
        except OutboundFailed as error:
            failure = str(error)
        self._failed = _Kept(failure, self._monotonic())
        raise SignInRefused(OpenIdRefusal.UNAVAILABLE, failure)

    def _age(self, kept: _Kept[Any]) -> float:
        return self._monotonic() - kept.at
