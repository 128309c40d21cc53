"""Signatures in forms that no RFC allows, over tokens that are good otherwise, by the holder of the key.

The classes are those of the published test vectors for JWS (Wycheproof, RFC 7515, RFC 7520, RFC 8037): encodings of
PKCS #1 that differ in one octet, PSS with other parameters, numbers at the ends of the range, missing parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

from authsec.jose import PrivateKey
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jose_attacks import Attack, Good, Make, encoded

ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "EdDSA": 2**252 + 27742317777372353535851937790883648493,
}
ED25519_PRIME = 2**255 - 19
SHA256_OID = bytes.fromhex("608648016503040201")
SEQUENCE, OID, NULL, OCTETS = 0x30, 0x06, 0x05, 0x04
NODES = ("outer", "inner", "oid", "null", "hash")
TLV = Callable[[int, bytes], bytes]


@cache
def _native(key: PrivateKey) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    return load_pem_private_key(key.to_pem(), password=None)  # type: ignore[return-value]


def _size(good: Good) -> int:
    """The octets of the modulus."""
    return _native(good.key).key_size // 8


def _token(good: Good, sign: Callable[[Good, bytes], bytes], alg: str) -> str:
    unsigned = good.unsigned({**good.header, "alg": alg})
    return f"{unsigned}.{encoded(sign(good, unsigned.encode()))}"


def _rsa(good: Good, block: bytes) -> bytes:
    """Return the signature from which a verifier computes this block."""
    numbers = _native(good.key).private_numbers()
    assert isinstance(numbers, rsa.RSAPrivateNumbers)
    size = _size(good)
    one = pow(int.from_bytes(block), numbers.dmp1, numbers.p)
    two = pow(int.from_bytes(block), numbers.dmq1, numbers.q)
    return (two + numbers.q * (numbers.iqmp * (one - two) % numbers.p)).to_bytes(size)


def _tlv(tag: int, value: bytes) -> bytes:
    return bytes([tag, len(value)]) + value


def _digest_info(digest: bytes, changed: str = "", change: TLV = _tlv) -> bytes:
    """The DigestInfo of SHA-256 (RFC 8017 section 9.2), with one of its nodes encoded otherwise."""

    def node(name: str, tag: int, value: bytes) -> bytes:
        return (change if name == changed else _tlv)(tag, value)

    inner = node("oid", OID, SHA256_OID) + node("null", NULL, b"")
    return node("outer", SEQUENCE, node("inner", SEQUENCE, inner) + node("hash", OCTETS, digest))


CHANGES: Mapping[str, TLV] = {
    "long length": lambda tag, value: bytes([tag, 0x81, len(value)]) + value,
    "length with a zero in front": lambda tag, value: bytes([tag, 0x82, 0, len(value)]) + value,
    "length one too large": lambda tag, value: bytes([tag, len(value) + 1]) + value,
    "length one too small": lambda tag, value: bytes([tag, max(len(value) - 1, 1)]) + value,
    "length of 2^31": lambda tag, value: bytes([tag, 0x84, 0x80, 0, 0, 0]) + value,
    "length of 2^64": lambda tag, value: bytes([tag, 0x89, 1, *bytes(8)]) + value,
    "indefinite length": lambda tag, value: bytes([tag, 0x80]) + value + b"\0\0",
    "indefinite length without an end": lambda tag, value: bytes([tag, 0x80]) + value,
    "another tag": lambda tag, value: bytes([tag ^ 1, len(value)]) + value,
    "the class of another tag": lambda tag, value: bytes([tag | 0x80, len(value)]) + value,
    "a high tag number": lambda tag, value: bytes([tag | 0x1F, 0x81, 0x7F, len(value)]) + value,
    "zeros inside": lambda tag, value: _tlv(tag, value + b"\0\0"),
    "zeros behind": lambda tag, value: _tlv(tag, value) + b"\0\0",
    "NULL inside": lambda tag, value: _tlv(tag, value + b"\x05\0"),
    "NULL behind": lambda tag, value: _tlv(tag, value) + b"\x05\0",
    "garbage in front": lambda tag, value: b"\x24\x80" + _tlv(tag, value),
    "no value": lambda tag, _: bytes([tag, 0]),
    "nothing": lambda _tag, _value: b"",
    "twice": lambda tag, value: _tlv(tag, value) * 2,
    "NULL in its place": lambda _tag, _value: b"\x05\0",
    "in parts": lambda tag, value: _tlv(tag | 0x20, _tlv(tag, value[:1]) + _tlv(tag, value[1:])),
}


def _pkcs1(good: Good, signing_input: bytes, *, info: Callable[[bytes], bytes], padding: str = "") -> bytes:
    text, size = info(signing_input), _size(good)
    filled = b"\xff" * (size - 3 - len(text))
    blocks = {
        "": b"\0\1" + filled + b"\0" + text,
        "type 0": b"\0\0" + bytes(len(filled)) + b"\0" + text,
        "type 2": b"\0\2" + filled + b"\0" + text,
        "no separator": b"\0\1" + filled + b"\xff" + text,
        "another octet": b"\0\1" + b"\xfe" + filled[1:] + b"\0" + text,
        "a zero early": b"\0\1" + filled[:8] + b"\0" + filled[9:] + b"\0" + text,
        "eight octets, and garbage behind": b"\0\1" + filled[:8] + b"\0" + text + b"x" * (len(filled) - 8),
        "no octets, and zeros behind": b"\0\1\0" + text + bytes(len(filled)),
        "a one in front": b"\1\1" + filled + b"\0" + text,
    }
    return _rsa(good, blocks[padding])


def _digest(signing_input: bytes) -> bytes:
    return hashlib.sha256(signing_input).digest()


def _encodings() -> Iterator[tuple[str, Make]]:
    for node in NODES:
        for name, change in CHANGES.items():
            if _digest_info(bytes(32), node, change) == _digest_info(bytes(32)):
                continue  # NULL has no value, and is NULL
            info = partial(_changed_info, node=node, change=change)
            yield f"PKCS #1, {node}: {name}", _signer(partial(_pkcs1, info=info), "RS256")
    infos: dict[str, Callable[[bytes], bytes]] = {
        "hash alone": _digest,
        "hash of another algorithm": lambda text: _digest_info(hashlib.sha1(text).digest()),  # noqa: S324
        "a longer hash": lambda text: _digest_info(hashlib.sha512(text).digest()),
        "empty hash": lambda _: _digest_info(b""),
        "hash of the hash": lambda text: _digest_info(_digest(_digest(text))),
        "hash of nothing": lambda _: _digest_info(_digest(b"")),
        "without NULL": lambda text: _tlv(
            SEQUENCE, _tlv(SEQUENCE, _tlv(OID, SHA256_OID)) + _tlv(OCTETS, _digest(text))
        ),
        "OID of SHA-384": lambda text: _digest_info(_digest(text)).replace(SHA256_OID, SHA256_OID[:-1] + b"\2"),
        "OID of SHA-1": lambda text: _digest_info(_digest(text)).replace(SHA256_OID, b"\x2b\x0e\x03\x02\x1a"),
    }
    for name, info in infos.items():
        yield f"PKCS #1: {name}", _signer(partial(_pkcs1, info=info), "RS256")
    for padding in (
        "type 0",
        "type 2",
        "no separator",
        "another octet",
        "a zero early",
        "eight octets, and garbage behind",
        "no octets, and zeros behind",
        "a one in front",
    ):
        sign = partial(_pkcs1, info=lambda text: _digest_info(_digest(text)), padding=padding)
        yield f"PKCS #1, padding: {padding}", _signer(sign, "RS256")


def _changed_info(signing_input: bytes, *, node: str, change: TLV) -> bytes:
    return _digest_info(_digest(signing_input), node, change)


def _signer(sign: Callable[[Good, bytes], bytes], alg: str) -> Make:
    return lambda good: _token(good, sign, alg)


def _pss(
    good: Good,
    signing_input: bytes,
    *,
    salt: bytes = b"s" * 32,
    mask: str = "sha256",
    digest: str = "sha256",
    spoil: Callable[[bytearray], object] = lambda _: None,
    spoil_block: Callable[[bytearray], object] = lambda _: None,
) -> bytes:
    """EMSA-PSS (RFC 8017 section 9.1.1). `spoil` changes the data block before its mask, `spoil_block` the result."""
    hashed = hashlib.new(digest, signing_input).digest()
    seed = hashlib.new(digest, bytes(8) + hashed + salt).digest()
    size = _size(good) - len(seed) - 1
    data = bytearray(bytes(size - len(salt) - 1) + b"\1" + salt)
    spoil(data)
    stream = b"".join(hashlib.new(mask, seed + number.to_bytes(4)).digest() for number in range(size // 20 + 1))
    masked = bytearray(one ^ two for one, two in zip(data, stream, strict=False))
    masked[0] &= 0x7F
    block = masked + seed + b"\xbc"
    spoil_block(block)
    return _rsa(good, bytes(block))


def _pss_forms() -> Iterator[tuple[str, Make]]:
    def xor(place: int, bit: int = 1) -> Callable[[bytearray], object]:
        def change(octets: bytearray) -> None:
            octets[place] ^= bit

        return change

    for size in (0, 20, 31, 33, 64):
        yield f"PSS with {size} octets of salt", _signer(partial(_pss, salt=b"s" * size), "PS256")
    yield "PSS, mask by SHA-1", _signer(partial(_pss, mask="sha1"), "PS256")
    for digest in ("sha1", "sha384", "sha512"):
        yield f"PSS by {digest}", _signer(partial(_pss, digest=digest, mask=digest), "PS256")
        yield f"PSS by {digest}, mask by SHA-256", _signer(partial(_pss, digest=digest), "PS256")
    for name, spoil in {"first zero": xor(0), "a zero": xor(99), "separator": xor(-33)}.items():
        yield f"PSS, {name}", _signer(partial(_pss, spoil=spoil), "PS256")
    for name, spoil in {"trailer": xor(-1), "top bit": xor(0, 0x80), "hash": xor(-2), "salt": xor(-40)}.items():
        yield f"PSS, another {name}", _signer(partial(_pss, spoil_block=spoil), "PS256")
    yield "PSS named RS256", lambda good: _token(good, _pss, "RS256")
    yield "PKCS #1 named PS256", _signer(partial(_pkcs1, info=lambda text: _digest_info(_digest(text))), "PS256")


def _rsa_numbers() -> Iterator[tuple[str, Make]]:
    for alg in ("RS256", "PS256"):
        for name in ("0", "1", "n - 1", "n", "n + 1", "not reduced", "negative"):
            yield f"{alg}: the signature is {name}", partial(_rsa_number, alg=alg, name=name)


def _rsa_number(good: Good, *, alg: str, name: str) -> str:
    def sign(good: Good, signing_input: bytes) -> bytes:
        public, size = _native(good.key).public_key().public_numbers(), _size(good)
        assert isinstance(public, rsa.RSAPublicNumbers)
        of = {"RS256": partial(_pkcs1, info=lambda text: _digest_info(_digest(text))), "PS256": _pss}
        signature = int.from_bytes(of[alg](good, signing_input))
        numbers = {"0": 0, "1": 1, "n - 1": public.n - 1, "n": public.n, "n + 1": public.n + 1}
        numbers |= {"not reduced": signature + public.n, "negative": public.n - signature}
        return numbers[name].to_bytes(size + (numbers[name] >> (8 * size) > 0))

    return _token(good, sign, alg)


def _curve_numbers() -> Iterator[tuple[str, Make]]:
    order = ORDERS["ES256"]
    ends = {"0": 0, "1": 1, "n - 1": order - 1, "n": order, "2^256 - 1": 2**256 - 1}
    for one, r in ends.items():
        for two, s in ends.items():
            octets = r.to_bytes(32) + s.to_bytes(32)
            yield f"ES256: r is {one}, s is {two}", _signer(lambda _good, _text, octets=octets: octets, "ES256")
    changes: dict[str, Callable[[bytes], bytes]] = {
        "r is 0": lambda both: bytes(32) + both[32:],
        "s is 0": lambda both: both[:32] + bytes(32),
        "r and s turned around": lambda both: both[32:] + both[:32],
        "as DER": lambda both: encode_dss_signature(int.from_bytes(both[:32]), int.from_bytes(both[32:])),
        "33 octets each": lambda both: b"\0" + both[:32] + b"\0" + both[32:],
        "of a longer curve": lambda both: bytes(16) + both[:32] + bytes(16) + both[32:],
        "r alone": lambda both: both[:32],
        "zeros behind": lambda both: both + bytes(2),
    }
    for name, change in changes.items():
        yield f"ES256: {name}", _signer(lambda good, text, change=change: change(good.key.sign(text)), "ES256")
    for alg in ("ES384", "ES512"):
        yield f"{alg} by a key of P-256", _signer(lambda good, text: good.key.sign(text), alg)


def _edwards() -> Iterator[tuple[str, Make]]:
    def with_s(both: bytes, times: int) -> bytes:
        s = int.from_bytes(both[32:], "little") + times * ORDERS["EdDSA"]
        return both[:32] + s.to_bytes(32, "little")

    for times in (1, 2, 7):
        yield (
            f"EdDSA: s + {times} L",
            _signer(lambda good, text, times=times: with_s(good.key.sign(text), times), "EdDSA"),
        )
    for point in (0, 1, ED25519_PRIME - 1, ED25519_PRIME, ED25519_PRIME + 1, 2**255 - 1, 1 | 1 << 255):
        octets = point.to_bytes(32, "little")
        yield (
            f"EdDSA: R is {point:x}",
            _signer(lambda good, text, octets=octets: octets + good.key.sign(text)[32:], "EdDSA"),
        )
        yield f"EdDSA: R is {point:x}, s is 0", _signer(lambda _good, _text, octets=octets: octets + bytes(32), "EdDSA")
    yield "EdDSA of the hash", _signer(lambda good, text: good.key.sign(hashlib.sha512(text).digest()), "EdDSA")


def _missing_parts() -> Iterator[tuple[str, Make]]:
    forms = ("", ".", "..", "{0}", "{0}.", "{0}..", "{0}.{1}", "{0}.{1}.", "{0}..{2}", "{0}.{2}", ".{1}.{2}", "{1}.{2}")
    for form in (*forms, ".{1}", ".{1}.", "..{2}", "{1}", "{2}", "{0}.{1}.{2}.", "{0}.{1}.{2}.{2}", "{0}.{1}..{2}"):
        yield f"as {form!r}", lambda good, form=form: form.format(*good.token().split("."))


OF_EACH_KEY = {
    "RSA": (_encodings, _pss_forms, _rsa_numbers, _missing_parts),
    "EC": (_curve_numbers, _missing_parts),
    "Ed25519": (_edwards, _missing_parts),
}
FORMS = {
    kind: tuple(Attack(name=name, make=make) for group in groups for name, make in group())
    for kind, groups in OF_EACH_KEY.items()
}
"""For each kind of key, what is done to tokens that it signs."""

GOOD_FORMS: Mapping[str, Make] = {
    "RS256": _signer(partial(_pkcs1, info=lambda text: _digest_info(_digest(text))), "RS256"),
    "PS256": lambda good: _token(good, _pss, "PS256"),
}
"""The same constructions without a fault: without them, a fault of this file could be the reason for each refusal."""
