"""DPoP proofs (RFC 9449 §4): read a request's proof, and make one.

A proof shows that the sender of a request has the private key for the public key in the proof's header. The
functions read no clock and remember nothing. The caller refuses a second use of a proof.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NoReturn

from authsec import strict_json
from authsec.jose.compact import UnverifiedJws, parse_compact, sign_compact
from authsec.jose.keys import JoseError, PrivateKey, PublicKey

PROOF_ALGORITHMS: Final = ("ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "RS256")
"""The signature algorithms of proofs, for `dpop_signing_alg_values_supported` (RFC 9449 §5.1)."""
WINDOW_SECONDS: Final = 60
"""The largest difference between a proof's `iat` and the reader's clock, unless the caller sets another."""
MOST_BYTES: Final = 8192
INVALID_PROOF: Final = "invalid_dpop_proof"
"""The error code for a refused proof (RFC 9449 §5)."""

_MOST_OF_JTI: Final = 256
# In base64url: 6 characters have at most 36 bits. A huge exponent makes a verification as slow as a signature.
_MOST_OF_EXPONENT: Final = 6
_LEAST_OF_MODULUS: Final = 342  # characters of 2048 bits
_SCHEME_PORTS: Final = {"http": 80, "https": 443}
# A URI without user information (RFC 3986 §3). Query and fragment are matched, and then left out.
_URI: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{0,5}))?"
    r"(?P<path>/[^?#\\ ]*)?(?:[?#].*)?",
    re.IGNORECASE,
)
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class DpopError(Exception):
    """The proof is refused. `code` is the error code of OAuth; the text never contains the proof.

    `claim` names the failed claim if a proxy's or a clock's setting can be the cause: `htm`, `htu` or `iat`.
    """

    def __init__(self, code: str, text: str, claim: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.claim = claim


class AnotherUrl(DpopError):
    """The proof is for another URL. `htu` is that URL without query and fragment; "" if the proof names no http URL.

    The caller of a request chose `htu`, and no signature is verified.
    """

    def __init__(self, htu: object) -> None:
        text = "The proof's htu must be the URL of the request, without query and fragment."
        super().__init__(INVALID_PROOF, text, "htu")
        is_uri = isinstance(htu, str) and _uri(htu) is not None
        self.htu = _without_query(str(htu)) if is_uri else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DpopProof:
    """A valid proof. `thumbprint` is the SHA-256 thumbprint of its key (RFC 7638), as `cnf.jkt` has it.

    `issued_at` is in seconds since the epoch.
    """

    thumbprint: str
    jti: str
    issued_at: int
    nonce: str | None = None


def read_proof(
    values: Sequence[str],
    *,
    method: str,
    url: str,
    now: float,
    access_token: str | None = None,
    window_seconds: int = WINDOW_SECONDS,
) -> DpopProof:
    """Check the proof of one request (RFC 9449 §4.3). `values` are the values of all its DPoP headers.

    `method` and `url` are those of the request. Take the origin of `url` from the settings: a caller can forge the
    Host header. With `access_token`, the proof must be for this token. The caller checks the nonce, and compares
    the thumbprint with the token's `cnf.jkt`. Raises `DpopError`.
    """
    jws = _parsed(_only(values))
    key = _key_of(jws.header)
    _check_claims(jws.claims, method=method, url=url, access_token=access_token)
    issued_at, nonce = jws.claims.get("iat"), jws.claims.get("nonce")
    if type(issued_at) is not int or abs(now - issued_at) > window_seconds:
        _refuse(f"The proof's iat must be within {window_seconds} seconds of this server's clock.", "iat")
    if not isinstance(nonce, str | None):
        _refuse("The proof's nonce must be a string.")
    try:  # The slow step comes last.
        jws.check_signature(key, algorithms=PROOF_ALGORITHMS)
    except JoseError:
        _refuse("The proof's signature does not match the key in its header.")
    return DpopProof(thumbprint=key.thumbprint(), jti=jws.claims["jti"], issued_at=issued_at, nonce=nonce)


def make_proof(
    key: PrivateKey,
    *,
    method: str,
    url: str,
    now: float,
    jti: str,
    nonce: str | None = None,
    access_token: str | None = None,
) -> str:
    """Make a proof for one request (RFC 9449 §4.2). `jti` must be different for each proof.

    `access_token` is the token that the request carries. A request to the token endpoint has none.
    """
    claims: dict[str, Any] = {"jti": jti, "htm": method, "htu": _without_query(url), "iat": int(now)}
    if nonce is not None:
        claims["nonce"] = nonce
    if access_token is not None:
        claims["ath"] = token_hash(access_token)
    return sign_compact({"typ": "dpop+jwt", "jwk": key.public.to_jwk()}, claims, key)


def token_hash(access_token: str) -> str:
    """Return the SHA-256 of the token in base64url: a proof's claim `ath` (RFC 9449 §4.2)."""
    digest = hashlib.sha256(access_token.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def same_uri(one: str, other: str) -> bool:
    """Whether two http URIs are equal without query and fragment, after normalisation (RFC 3986 §6.2.2, §6.2.3).

    Dot segments are not removed: servers differ in their meaning.
    """
    first = _normalised(one)
    return first is not None and first == _normalised(other)


def _only(values: Sequence[str]) -> str:
    if not values:
        _refuse("The request has no DPoP header.")
    # Web servers join several headers of one name by commas (RFC 9110 §5.3).
    if len(values) > 1 or "," in values[0]:
        _refuse("The request has several DPoP headers.")
    return values[0].strip(" \t")


def _parsed(value: str) -> UnverifiedJws:
    try:
        jws = parse_compact(value, max_bytes=MOST_BYTES, embedded_key=True)
    except JoseError as error:
        _refuse(f"The proof is not a signed JWT: {error}.")
    if jws.header.get("typ", "").lower() not in {"dpop+jwt", "application/dpop+jwt"}:
        _refuse("The proof's typ must be dpop+jwt.")
    if jws.header["alg"] not in PROOF_ALGORITHMS:
        _refuse(f"The proof's alg must be one of {', '.join(PROOF_ALGORITHMS)}.")
    return jws


def _key_of(header: Mapping[str, Any]) -> PublicKey:
    jwk = header["jwk"]
    if jwk.get("kty") == "RSA":
        if len(str(jwk.get("e"))) > _MOST_OF_EXPONENT:
            _refuse("The proof's key has a public exponent that is too large.")
        if len(str(jwk.get("n"))) < _LEAST_OF_MODULUS:  # Otherwise a stranger could fill the log with warnings.
            _refuse("The proof's key is an RSA key of less than 2048 bits.")
    try:
        key = _public_key(strict_json.dumps(jwk))
    except (JoseError, strict_json.StrictJsonError) as error:
        _refuse(f"The proof's key cannot be used: {error}.")
    if header["alg"] not in key.algorithms:
        _refuse("The proof's alg does not fit the key in its header.")
    return key


# A client sends many proofs with one key. Invented keys can only replace cached ones: the size is fixed.
@lru_cache(maxsize=256)
def _public_key(jwk: bytes) -> PublicKey:
    return PublicKey.from_jwk(json.loads(jwk))


def _check_claims(claims: Mapping[str, Any], *, method: str, url: str, access_token: str | None) -> None:
    jti, htu = claims.get("jti"), claims.get("htu")
    if not isinstance(jti, str) or not 0 < len(jti) <= _MOST_OF_JTI:
        _refuse(f"The proof's jti must be a string of 1 to {_MOST_OF_JTI} characters.")
    if claims.get("htm") != method:
        _refuse("The proof's htm must be the method of the request.", "htm")
    if not isinstance(htu, str) or not same_uri(htu, url):
        raise AnotherUrl(htu) from None
    if access_token is not None and claims.get("ath") != token_hash(access_token):
        _refuse("The proof's ath must be the hash of the access token.")


def _without_query(url: str) -> str:
    return re.split("[?#]", url, maxsplit=1)[0]


def _uri(text: str) -> re.Match[str] | None:
    return _URI.fullmatch(text) if text.isascii() and text.isprintable() else None


def _normalised(uri: str) -> tuple[str, str, int, str] | None:
    """Return scheme, host, port and path in their normal form; None if the text is no http URI."""
    found = _uri(uri)
    if found is None:
        return None
    scheme = found["scheme"].lower()
    port = int(found["port"]) if found["port"] else _SCHEME_PORTS[scheme]
    return scheme, found["host"].lower(), port, _ESCAPE.sub(_normal_escape, found["path"] or "/")


def _normal_escape(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    return character if character in _UNRESERVED else escape[0].upper()


def _refuse(text: str, claim: str = "") -> NoReturn:
    raise DpopError(INVALID_PROOF, text, claim) from None
