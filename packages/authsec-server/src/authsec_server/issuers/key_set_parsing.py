"""Read the keys that an issuer publishes: a JWK Set (RFC 7517 section 5) or a SPIFFE bundle. Find private keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authsec.jose import JoseError, PublicKey

from authsec_server.issuers.model import ALGORITHMS, TrustedIssuerKind

MAX_KEYS = 200  # issuers publish a handful; each costs time to read and to keep
MAX_KID = 512
_PRIVATE_MEMBERS = frozenset(
    {"d", "p", "q", "dp", "dq", "qi", "oth", "k", "private_key"}
)  # RFC 7518 section 6; and a service account's
_SVID = "jwt-svid"


class UnusableKeys(Exception):
    """A key set that cannot be used. The message is a clause without a full stop.

    `exposed` says that the set contains a private or symmetric key, which nobody may publish.
    """

    def __init__(self, what: str, *, exposed: bool = False) -> None:
        super().__init__(what)
        self.exposed = exposed


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """At least one key, by `kid`. `refresh_hint` is the number of seconds after which to fetch the set again."""

    keys: Mapping[str, PublicKey]
    refresh_hint: int | None = None

    @property
    def thumbprints(self) -> frozenset[str]:
        """Return the SHA-256 thumbprints of the keys (RFC 7638)."""
        return frozenset(key.thumbprint() for key in self.keys.values())


def read_key_set(kind: TrustedIssuerKind, document: Mapping[str, Any]) -> KeySet:
    """Read the keys that can verify tokens of this kind of trusted issuer. Raises `UnusableKeys`.

    If two keys have the same `kid`, the first one is used. In a SPIFFE bundle, only the keys for JWT-SVIDs are
    used (SPIFFE Trust Domain and Bundle section 4.2.2).
    """
    entries = document.get("keys")
    if not isinstance(entries, list):
        _refuse_secret(document)  # a private key by itself, pasted for the set
        raise UnusableKeys('it is not a JWK Set: it has no list "keys"')
    if len(entries) > MAX_KEYS:
        raise UnusableKeys(f"it has {len(entries)} keys, and the limit is {MAX_KEYS}")
    objects = [entry for entry in entries if isinstance(entry, dict)]
    for entry in objects:
        _refuse_secret(entry)
    keys: dict[str, PublicKey] = {}
    faults = []
    for entry in objects:
        try:
            keys.setdefault(_kid(entry), _key(kind, entry))
        except JoseError as error:
            faults.append(str(error))
    if not keys:
        why = f"; the first one was ignored: {faults[0]}" if faults else ""
        raise UnusableKeys(f"it has no key that can verify a token{why}")
    return KeySet(keys=keys, refresh_hint=_hint(document.get("spiffe_refresh_hint")))


def as_document(kind: TrustedIssuerKind, keys: Mapping[str, PublicKey]) -> dict[str, Any]:
    """Return a JWK Set with only the public members of these keys. `read_key_set` can read the JWK Set again."""
    use = _SVID if kind is TrustedIssuerKind.SPIFFE else "sig"
    return {"keys": [{**key.to_jwk(), "kid": kid, "use": use, **_alg(key)} for kid, key in keys.items()]}


def _refuse_secret(entry: Mapping[str, Any]) -> None:
    if entry.get("kty") == "oct":
        raise UnusableKeys(
            "it has a symmetric key, with which anybody who verifies tokens can also make them", exposed=True
        )
    if _PRIVATE_MEMBERS & entry.keys():
        raise UnusableKeys("it has a PRIVATE key, with which anybody can make tokens", exposed=True)


def _kid(entry: Mapping[str, Any]) -> str:
    kid = entry.get("kid")
    if not isinstance(kid, str) or not 1 <= len(kid) <= MAX_KID:  # tokens name their key, so nothing would ask for it
        raise JoseError("malformed_key", "it has no kid, so no token can name it")
    return kid


def _key(kind: TrustedIssuerKind, entry: Mapping[str, Any]) -> PublicKey:
    if kind is TrustedIssuerKind.SPIFFE:
        if entry.get("use") != _SVID:
            raise JoseError("key_use", f"its use is not {_SVID}")
        entry = {**entry, "use": "sig"}
    key = PublicKey.from_jwk(entry)
    if not key.algorithms & ALGORITHMS:
        raise JoseError("unsupported_key", "it does not fit an allowed algorithm")
    return key


def _alg(key: PublicKey) -> dict[str, str]:
    """Return the member `alg` if the key allows only one algorithm. Most RSA keys allow several."""
    return {"alg": next(iter(key.algorithms))} if len(key.algorithms) == 1 else {}


def _hint(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


# People sometimes paste a private key instead of a public key or a token. It is never stored, and never shown again.
EXPOSED = "AuthSec did not store it. Treat it as exposed, and replace it."
_MEMBER = re.compile(r'"(?:d|p|q|dp|dq|qi|oth|k|private_key)"\s*:')  # RFC 7518 section 6; and a service account's


def holds_private_key(text: str) -> bool:
    """Return whether the text contains a private or symmetric key: in PEM, as a JWK, or within other JSON."""
    # No JSON is parsed, so a key without a closing brace is found as well.
    return "PRIVATE KEY" in text or _MEMBER.search(text) is not None
