"""Key sets (RFC 7517): the key for a `kid`, from a JWK Set that the program gives."""

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
    """`age` is in seconds since the keys were fetched: None before the first time, and for keys that were given."""

    age: float | None
    failure: str | None


class KeySource(Protocol):
    """Where a verifier gets its keys from."""

    def at_hand(self, kid: str) -> PublicKey | None:
        """The key, if it is there and fresh; never waits."""

    def find(self, kid: str) -> PublicKey | None:
        """The key, or None if the authority has none by this name. May fetch; raises `KeysUnavailable`."""

    def check_current(self) -> None:
        """Return if there are keys to verify with; else raise `KeysUnavailable`. May fetch."""

    def health(self) -> KeysHealth:
        """How old the keys are, and why they are not newer. Never waits."""


def usable_keys(document: Mapping[str, Any]) -> Mapping[str, PublicKey]:
    """The keys of a JWK Set (RFC 7517 §5) by `kid`: those that can verify, and of two namesakes the first."""
    entries = document.get("keys")
    keys: dict[str, PublicKey] = {}
    for entry in entries if isinstance(entries, list) else []:
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if not isinstance(kid, str):  # tokens without kid are refused, so nothing would ever ask for this key
            continue
        try:
            keys.setdefault(kid, PublicKey.from_jwk(entry))
        except JoseError as error:
            _log.warning("a published key is left out: %s", error)
    return keys


class GivenKeys:
    """The keys of one JWK Set, for APIs that get it by other means than HTTP."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._keys = usable_keys(document)
        if not self._keys:
            raise ConfigError("keys= holds no key with a kid that can verify signatures", reason="keys_invalid")

    def at_hand(self, kid: str) -> PublicKey | None:
        return self._keys.get(kid)

    find = at_hand

    def check_current(self) -> None:
        """They were given, and stay."""

    def health(self) -> KeysHealth:
        return KeysHealth(age=None, failure=None)
