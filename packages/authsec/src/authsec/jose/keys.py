"""Keys that verify signatures and keys that sign. No other module of AuthSec imports joserfc."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc.errors import JoseError as _LibraryError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

MINIMUM_RSA_BITS: Final = 2048  # NIST SP 800-131A
# Verification time grows with the square of the size. The limit stops a sender of huge keys.
MAXIMUM_RSA_BITS: Final = 8192
_RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_EC_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_EC_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_ED25519_ALGORITHMS: Final = frozenset({"EdDSA", "Ed25519"})  # one algorithm: its names in RFC 8037 and RFC 9864
_ALGORITHMS: Final = {
    name: JWSRegistry.algorithms[name] for name in _RSA_ALGORITHMS | {*_EC_ALGORITHMS.values()} | _ED25519_ALGORITHMS
}
SIGNATURE_ALGORITHMS: Final = frozenset(_ALGORITHMS)
"""The signature algorithms that some key verifies."""
_PRIVATE_JWK_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# Points of small order, in each encoding that OpenSSL accepts, without the bit of the sign. RFC 8032 §5.1.7 accepts
# signatures by such a key, and anybody can make them.
_SMALL_ORDER: Final = frozenset(
    {
        *((2**255 - 19 + offset).to_bytes(32, "little") for offset in (-1, 0, 1)),
        *(number.to_bytes(32, "little") for number in (0, 1)),
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    }
)
_NativePublic = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
_NativePrivate = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_LibraryKey = RSAKey | ECKey | OKPKey
_JWK_READERS: Final[Mapping[object, type[_LibraryKey]]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_JWK_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}


class JoseError(Exception):
    """The token or the key is refused. `reason` is a stable code; the text never contains the token or the key.

    - Reasons for tokens: `too_large`, `malformed`, `crit`, `embedded_key`, `alg_not_allowed`, `key_mismatch`,
      `bad_signature`.
    - Reasons for keys: `malformed_key`, `private_key`, `not_private_key`, `encrypted_key`, `unsupported_key`,
      `weak_key`, `key_use`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class PublicKey:
    """A key that verifies signatures: RSA of 2048 to 8192 bits, P-256, P-384, P-521, or Ed25519.

    `kind` is the JWK key type. `algorithms` are the signature algorithms that the key may verify.
    """

    __slots__ = ("_key", "_thumbprint", "algorithms", "kind")

    kind: str
    algorithms: frozenset[str]

    def __init__(self, key: _NativePublic, *, only: str | None = None) -> None:
        """Wrap a key of the library `cryptography`. `only` limits the key to one algorithm.

        Use `from_pem` or `from_jwk` if possible.
        """
        self.algorithms = _fitting_algorithms(key)
        if only is not None:
            self.algorithms &= _ED25519_ALGORITHMS if only in _ED25519_ALGORITHMS else {only}
        if not self.algorithms:
            raise JoseError("key_mismatch", "the key's alg does not fit its kind of key")
        self._key = _library_key(key)
        self.kind = self._key.key_type
        self._thumbprint = self._key.thumbprint()

    @classmethod
    def from_pem(cls, pem: bytes | str) -> Self:
        """Read one `BEGIN PUBLIC KEY` block (RFC 7468 §13)."""
        octets = _octets(pem)
        if b"PRIVATE KEY" in octets:
            raise JoseError(
                "private_key",
                "this is the PRIVATE half of a key pair. Consider this key exposed: create a new pair, and give "
                "only its public half (the block that begins with BEGIN PUBLIC KEY)",
            )
        _check_one_block(octets)
        try:
            key = serialization.load_pem_public_key(octets)
        except (ValueError, UnsupportedAlgorithm):
            raise JoseError("malformed_key", "not a readable PEM block that begins with BEGIN PUBLIC KEY") from None
        if not isinstance(key, _NativePublic):
            _unsupported()
        return cls(key)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any], *, alg_required: bool = False) -> Self:
        """Read a public JSON Web Key (RFC 7517). `use`, `key_ops` and `alg` are obeyed; unknown members are ignored.

        With `alg_required`, a JWK without `alg` is refused, and the key verifies only signatures with this very `alg`
        (RFC 8725 §3.1). Otherwise a JWK without `alg` verifies with all algorithms of its kind of key. `EdDSA` and
        `Ed25519` are then two names of one algorithm.
        """
        if _PRIVATE_JWK_MEMBERS & jwk.keys():
            raise JoseError("private_key", "the JWK has a private or symmetric key; consider that key exposed")
        use, operations, alg, kty = (jwk.get(name) for name in ("use", "key_ops", "alg", "kty"))
        may_verify = operations is None or (isinstance(operations, list) and "verify" in operations)
        if use not in (None, "sig") or not may_verify:
            raise JoseError("key_use", "the JWK is not meant for verifying signatures")
        if not isinstance(kty, str) or kty not in _JWK_MEMBERS:
            _unsupported()
        if not isinstance(alg, str | None):
            raise JoseError("malformed_key", "the JWK's alg is not a string")
        if alg_required and alg is None:
            raise JoseError("key_use", "the JWK has no alg, so its algorithm is not known")
        key = cls(_native_from_jwk(kty, {name: jwk.get(name) for name in _JWK_MEMBERS[kty]}), only=alg)
        if alg_required and alg is not None:
            key.algorithms = frozenset({alg})
        return key

    def to_jwk(self) -> dict[str, str]:
        """Return the key's public members. The caller that publishes the key adds `kid`, `use` and `alg`."""
        return {name: str(value) for name, value in self._key.as_dict(private=False).items()}

    def to_pem(self) -> bytes:
        """Return the key as a `BEGIN PUBLIC KEY` block (SubjectPublicKeyInfo)."""
        return self._key.as_pem(private=False)

    def thumbprint(self) -> str:
        """Return the SHA-256 thumbprint in base64url (RFC 7638)."""
        return self._thumbprint

    def verify(self, signing_input: bytes, signature: bytes, alg: str) -> None:
        """Check that this key made `signature` over `signing_input` with `alg`. Raises `JoseError`."""
        if alg not in self.algorithms:  # The key decides its algorithms, not the token. This stops algorithm confusion.
            raise JoseError("key_mismatch", "the token's signature algorithm does not fit the key")
        if not _ALGORITHMS[alg].verify(signing_input, signature, self._key):
            raise JoseError("bad_signature", "the signature does not verify")

    def __repr__(self) -> str:
        return f"PublicKey({self.kind}, thumbprint={self._thumbprint!r})"


class PrivateKey:
    """The private half of a key pair. The repr shows no key, pickling fails, and a copy is the same object."""

    __slots__ = ("_key", "algorithm", "public")

    algorithm: str
    public: PublicKey

    def __init__(self, key: _NativePrivate) -> None:
        """Wrap a key of the library `cryptography`. Use the class methods if possible."""
        self.public = PublicKey(key.public_key())
        self._key = _library_key(key)
        if isinstance(key, rsa.RSAPrivateKey):
            self.algorithm = "RS256"
        elif isinstance(key, ed25519.Ed25519PrivateKey):
            self.algorithm = "EdDSA"
        else:
            (self.algorithm,) = self.public.algorithms

    @classmethod
    def generate_rsa(cls, bits: int = 2048) -> Self:
        """Generate a key pair for RS256. The generation takes some tenths of a second."""
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=bits))

    @classmethod
    def generate_ec(cls, curve: str = "P-256") -> Self:
        """Generate a key pair for ES256 on P-256, ES384 on P-384 or ES512 on P-521."""
        return cls(ec.generate_private_key(_EC_CURVES[curve]))

    @classmethod
    def generate_ed25519(cls) -> Self:
        """Generate a key pair for EdDSA."""
        return cls(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes | str, *, ours: bool = False) -> Self:
        """Read one unencrypted `BEGIN PRIVATE KEY` block.

        Reading an RSA key takes about 40 ms, so read a key once and not for each call. Most of this time is a check
        that the key's numbers match each other. `ours` skips this check. Use `ours` only for a key that this program
        wrote. The storage must detect every change of the key.
        """
        octets = _octets(pem)
        _check_one_block(octets)
        if b"PRIVATE KEY" not in octets:
            raise JoseError(
                "not_private_key", "this is not a private key: expected a block that begins with BEGIN PRIVATE KEY"
            )
        try:
            key = serialization.load_pem_private_key(octets, password=None, unsafe_skip_rsa_key_validation=ours)
        except TypeError:
            raise JoseError("encrypted_key", "the private key is encrypted with a passphrase; decrypt it") from None
        except (ValueError, UnsupportedAlgorithm):
            raise JoseError("malformed_key", "not a readable PEM block that begins with BEGIN PRIVATE KEY") from None
        if not isinstance(key, _NativePrivate):
            _unsupported()
        return cls(key)

    def to_pem(self) -> bytes:
        """Return the key in PKCS #8, **not encrypted**. Write it to a file of mode 0600, or encrypt it."""
        return self._key.as_pem(private=True)

    def sign(self, signing_input: bytes) -> bytes:
        """Return the signature over `signing_input`, made with the key's `algorithm`."""
        return _ALGORITHMS[self.algorithm].sign(signing_input, self._key)

    def __repr__(self) -> str:
        return f"PrivateKey({self.algorithm}, …)"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:  # Agent frameworks deep-copy objects that contain a key.
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key cannot be pickled: store to_pem() instead")


def _unsupported() -> NoReturn:
    raise JoseError("unsupported_key", "the key is not RSA, P-256, P-384, P-521 or Ed25519")


def _octets(pem: bytes | str) -> bytes:
    return pem.encode("utf-8", "replace") if isinstance(pem, str) else pem


def _check_one_block(octets: bytes) -> None:
    if octets.count(b"-----BEGIN ") != 1:
        # With several blocks, readers take the first, and the user may have meant another.
        raise JoseError("malformed_key", "expected exactly one PEM block, from -----BEGIN to -----END")


def _fitting_algorithms(key: _NativePublic) -> frozenset[str]:
    """Return the algorithms for this kind and size of key. Raises `JoseError` for a weak key or another curve."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        octets = key.public_bytes_raw()
        if octets[:-1] + bytes([octets[-1] & 0x7F]) in _SMALL_ORDER:
            raise JoseError("weak_key", "with this Ed25519 key, anybody can make signatures")
        return _ED25519_ALGORITHMS
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _EC_ALGORITHMS:
            _unsupported()
        return frozenset({_EC_ALGORITHMS[key.curve.name]})
    if not MINIMUM_RSA_BITS <= key.key_size <= MAXIMUM_RSA_BITS:
        raise JoseError("weak_key", f"an RSA key must have {MINIMUM_RSA_BITS} to {MAXIMUM_RSA_BITS} bits")
    if key.public_numbers().e < 65537:  # FIPS 186-5 §A.1.1: with small exponents, signatures could be forged.
        raise JoseError("weak_key", "an RSA key must have a public exponent of at least 65537")
    return _RSA_ALGORITHMS


def _native_from_jwk(kty: str, members: Mapping[str, Any]) -> _NativePublic:
    reader = _JWK_READERS[kty]
    try:
        key = reader.import_key({"kty": kty, **members}).public_key
    except (ValueError, TypeError, KeyError, UnsupportedAlgorithm, _LibraryError):
        raise JoseError("malformed_key", "the JWK's members do not form a key of its kty and crv") from None
    if not isinstance(key, _NativePublic):
        _unsupported()
    # A number has only one valid form (RFC 7518 §6.2.1.2, §6.3.1.1). A second form would change the thumbprint.
    canonical = _library_key(key).as_dict()
    if any(canonical[name] != value for name, value in members.items()):
        raise JoseError("malformed_key", "the JWK's numbers are not in their canonical base64url form")
    return key


def _library_key(key: _NativePublic | _NativePrivate) -> _LibraryKey:
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return RSAKey.import_key(key)
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return ECKey.import_key(key)
    return OKPKey.import_key(key)
