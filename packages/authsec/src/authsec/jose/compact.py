"""The compact form of a signed JWT (RFC 7515 §7.1): parse, sign, verify."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NoReturn

from authsec import strict_json
from authsec.jose.keys import JoseError, PrivateKey, PublicKey

EMBEDDED_KEY_HEADERS: Final = frozenset({"jwk", "jku", "x5u", "x5c"})

_USUAL_HEADER: Final = 512  # octets of base64url
_BASE64URL: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# `+`, `/` and `=` are not in base64url, so they become an invalid character.
_TO_BASE64: Final = bytes.maketrans(b"-_+/=", b"+/...")
# For each length of the last group: its padding, and the permitted last characters. With these characters, the unused
# bits are zero. A group of one character is invalid.
_PADDING: Final = (b"", b"", b"==", b"=")
_LAST: Final = (_BASE64URL, b"", _BASE64URL[::16], _BASE64URL[::4])


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class VerifiedJws:
    """A JWS with a verified signature. Its expiry, its audience and all other claims are not checked yet."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signing_input: bytes

    def __repr__(self) -> str:
        return "VerifiedJws(…)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class UnverifiedJws:
    """The parts of a token before verification. Use them only to choose the key that verifies the token."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return "UnverifiedJws(…)"

    def verified_by(self, key: PublicKey, *, algorithms: Collection[str]) -> VerifiedJws:
        """Return the token as a `VerifiedJws`, if `key` signed it with one of `algorithms`. Raises `JoseError`."""
        self.check_signature(key, algorithms=algorithms)
        return VerifiedJws(header=self.header, claims=self.claims, signing_input=self.signing_input)

    def check_signature(self, key: PublicKey, *, algorithms: Collection[str]) -> None:
        """Check that `key` signed this token with one of `algorithms`. Raises `JoseError`."""
        alg = self.header["alg"]
        if alg not in algorithms:
            # RFC 8725 §3.1: the verifier chooses the algorithms, not the header. An empty set refuses every token.
            raise JoseError("alg_not_allowed", "the token's signature algorithm is not allowed here")
        key.verify(self.signing_input, self.signature, alg)


def parse_compact(token: str | bytes, *, max_bytes: int = 16_384, embedded_key: bool = False) -> UnverifiedJws:
    """Parse a compact JWS with a JSON object as payload (RFC 7515 §5.2, steps 1 to 7). Raises `JoseError`.

    With `embedded_key`, the header must have the member `jwk`, as a proof of DPoP has it (RFC 9449 §4.2). The other
    headers that contain or name a key are refused as well.
    """
    if len(token) > max_bytes:
        raise JoseError("too_large", f"the token is longer than {max_bytes} bytes")
    try:
        octets = token.encode("ascii") if isinstance(token, str) else token
    except UnicodeEncodeError:
        _malformed("has a character outside of base64url")
    parts = octets.split(b".")
    if len(parts) != 3 or not all(parts):
        _malformed("is not three non-empty parts joined by dots")
    usual = _known_header if len(parts[0]) <= _USUAL_HEADER else _header
    read: Callable[[bytes], Mapping[str, Any]] = _header_with_key if embedded_key else usual
    return UnverifiedJws(
        header=read(parts[0]),
        claims=MappingProxyType(_json_object(parts[1], "payload")),
        signing_input=octets[: -1 - len(parts[2])],
        signature=_decode(parts[2]),
    )


def verify_compact(
    token: str | bytes, key: PublicKey, *, algorithms: Collection[str], max_bytes: int = 16_384
) -> VerifiedJws:
    """Parse and verify a token in one step, for callers that already have the key. Raises `JoseError`."""
    return parse_compact(token, max_bytes=max_bytes).verified_by(key, algorithms=algorithms)


def signing_input(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bytes:
    """Return the octets to sign (RFC 7515 §5.1, step 5).

    Raises `StrictJsonError` for values that JSON does not have.
    """
    return b".".join(_encode(strict_json.dumps(dict(part))) for part in (header, claims))


def sign_compact(header: Mapping[str, Any], claims: Mapping[str, Any], key: PrivateKey) -> str:
    """Return a signed JWT; the key sets the header's `alg`."""
    octets = signing_input({**header, "alg": key.algorithm}, claims)
    return assemble(octets, key.sign(octets))


def assemble(signing_input: bytes, signature: bytes) -> str:
    """Join the signing input and its signature into the compact serialisation."""
    return (signing_input + b"." + _encode(signature)).decode("ascii")


def _header(part: bytes) -> Mapping[str, Any]:
    header = _json_object(part, "header")
    _check_header(header, EMBEDDED_KEY_HEADERS)
    return MappingProxyType(header)


# All tokens of one key have exactly the same header. Invented headers can only replace cached ones: the size is fixed.
_known_header = lru_cache(maxsize=256)(_header)


def _header_with_key(part: bytes) -> Mapping[str, Any]:
    header = _json_object(part, "header")
    _check_header(header, EMBEDDED_KEY_HEADERS - {"jwk"})
    if not isinstance(header.get("jwk"), dict):
        _malformed("has no jwk in its header")
    return MappingProxyType(header)


def _check_header(header: Mapping[str, Any], refused: frozenset[str]) -> None:
    if not isinstance(header.get("alg"), str):
        _malformed("has no alg in its header")
    for name in ("kid", "typ", "cty"):
        if not isinstance(header.get(name, ""), str):
            _malformed(f"has a header {name} that is not a string")
    if "crit" in header or "b64" in header:  # RFC 7515 §4.1.11: no extension is supported, so each is refused.
        raise JoseError("crit", "the token's header requires an extension that is not supported")
    if refused & header.keys():  # RFC 8725 §3.10: a token must not choose the key that verifies it.
        raise JoseError("embedded_key", "the token's header contains or names its own key")


def _json_object(part: bytes, name: str) -> dict[str, Any]:
    octets = _decode(part)
    try:
        value = strict_json.loads(octets, max_bytes=len(octets))
    except strict_json.StrictJsonError as error:
        _malformed(f"has a {name} that is not strict JSON: {error}")
    if not isinstance(value, dict):
        _malformed(f"has a {name} that is not a JSON object")
    return value


def _decode(part: bytes) -> bytes:
    """Decode base64url strictly: each octet string has exactly one accepted text (RFC 4648 §3.5, §12).

    Characters outside the alphabet are refused. Unused bits of the last character must be zero.
    """
    rest = len(part) % 4
    try:
        octets = binascii.a2b_base64(part.translate(_TO_BASE64) + _PADDING[rest], strict_mode=True)
    except binascii.Error:
        _malformed("has a part that is not base64url without padding")
    if part[-1] not in _LAST[rest]:
        _malformed("is damaged, perhaps because only a part was copied")
    return octets


def _encode(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


def _malformed(what: str) -> NoReturn:
    raise JoseError("malformed", f"the token {what}") from None
