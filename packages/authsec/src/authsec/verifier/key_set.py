"""Key sets (RFC 7517): the interface of a source of keys, and the keys of a JWK Set that the program provides."""

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

    `age` is the number of seconds since the last fetch. It is None before the first fetch, and for keys that the
    program provides.
    """

    age: float | None
    failure: str | None


class KeySource(Protocol):
    """The source of a verifier's keys: an authority, or a JWK Set of the program."""

    def find_cached(self, kid: str) -> PublicKey | None:
        """Return the key if it is cached and fresh, else None. Never waits."""

    def find(self, kid: str) -> PublicKey | None:
        """Return the key, or None if the authority does not publish this `kid`. May fetch. Raises `KeysUnavailable`."""

    def check_current(self) -> None:
        """Check that the keys of the source are not too old. May fetch. Raises `KeysUnavailable`."""

    def health(self) -> KeysHealth:
        """Return the age of the keys, and the reason why the last fetch failed. Never waits."""


def usable_keys(document: Mapping[str, Any], *, alg_required: bool) -> Mapping[str, PublicKey]:
    """Return the keys of a JWK Set (RFC 7517 §5) that can verify signatures, by `kid`.

    If two keys have the same `kid`, the first one is used. With `alg_required`, keys without `alg` are left out.
    """
    entries = document.get("keys")
    keys: dict[str, PublicKey] = {}
    for entry in entries if isinstance(entries, list) else []:
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if not isinstance(kid, str):  # Tokens without kid are refused, so no token could use this key.
            continue
        try:
            keys.setdefault(kid, PublicKey.from_jwk(entry, alg_required=alg_required))
        except JoseError as error:
            _log.warning("a published key is ignored: %s", error)
    return keys


class GivenKeys:
    """The keys of a JWK Set that the program provides, without HTTP."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._keys = usable_keys(document, alg_required=True)
        if not self._keys:
            raise ConfigError("keys= has no key with a kid and an alg that can verify", reason="keys_invalid")

    def find_cached(self, kid: str) -> PublicKey | None:
        return self._keys.get(kid)

    find = find_cached

    def check_current(self) -> None:
        """Do nothing: the program provides the keys, and they never expire."""

    def health(self) -> KeysHealth:
        return KeysHealth(age=None, failure=None)
