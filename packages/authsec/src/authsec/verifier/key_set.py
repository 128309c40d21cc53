"""Key sets (RFC 7517): find the key for a `kid` in a JWK Set that the program provides."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from authsec.errors import ConfigError
from authsec.jose import JoseError, PublicKey

_log = logging.getLogger("authsec.verifier")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysHealth:
    """The age of the keys, and the last failure.

    `age` is in seconds since the last fetch. `age` is None before the first fetch, and for keys that the program
    provides.
    """

    age: float | None
    failure: str | None


class KeySource(Protocol):
    """The source of a verifier's keys."""

    def at_hand(self, kid: str) -> PublicKey | None:
        """Return the key if it is cached and fresh, else None. Never waits."""

    def find(self, kid: str) -> PublicKey | None:
        """Return the key, or None if the authority does not publish this `kid`. May fetch. Raises `KeysUnavailable`."""

    def check_current(self) -> None:
        """Check that there are keys to verify with. May fetch. Raises `KeysUnavailable`."""

    def health(self) -> KeysHealth:
        """Return the age of the keys, and why they are not newer. Never waits."""


def usable_keys(document: Mapping[str, Any]) -> Mapping[str, PublicKey]:
    """Return the keys of a JWK Set (RFC 7517 §5) that can verify, by `kid`. The first of two equal `kid`s wins."""
    entries = document.get("keys")
    keys: dict[str, PublicKey] = {}
    for entry in entries if isinstance(entries, list) else []:
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if not isinstance(kid, str):  # tokens without kid are refused, so nothing would ever ask for this key
            continue
        try:
            keys.setdefault(kid, PublicKey.from_jwk(entry))
        except JoseError as error:
            _log.warning("a published key is ignored: %s", error)
    return keys


class GivenKeys:
    """The keys of one JWK Set, for APIs that get the set without HTTP."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._keys = usable_keys(document)
        if not self._keys:
            raise ConfigError("keys= has no key with a kid that can verify signatures", reason="keys_invalid")

    def at_hand(self, kid: str) -> PublicKey | None:
        return self._keys.get(kid)

    find = at_hand

    def check_current(self) -> None:
        """Do nothing: the program provides the keys, and they never expire."""

    def health(self) -> KeysHealth:
        return KeysHealth(age=None, failure=None)
