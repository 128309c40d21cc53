from __future__ import annotations

import base64
import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from authsec.jose import JoseError, PrivateKey, PublicKey
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from .fake_keys import rsa_key

PAIRS = {
    "RSA": rsa_key(),
    "P-256": PrivateKey.generate_ec(),
    "P-384": PrivateKey.generate_ec("P-384"),
    "P-521": PrivateKey.generate_ec("P-521"),
    "Ed25519": PrivateKey.generate_ed25519(),
}
RSA_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


def refused_pem(pem: bytes | str) -> str:
    with pytest.raises(JoseError) as caught:
        PublicKey.from_pem(pem)
    return caught.value.reason


def refused_jwk(jwk: Any) -> str:
    with pytest.raises(JoseError) as caught:
        PublicKey.from_jwk(jwk)
    return caught.value.reason


def public_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def private_pem(key: Any, encryption: Any = None) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return pem


def long_rsa(bits: int) -> bytes:
    """A public key of a modulus that nobody knows the factors of: making a real one takes a minute."""
    numbers = rsa.RSAPublicNumbers(65537, (1 << bits - 1) + 1)
    return numbers.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("name", PAIRS)
def test_a_key_survives_both_forms(name: str) -> None:
    pair = PAIRS[name]
    for again in (PublicKey.from_jwk(pair.public.to_jwk()), PublicKey.from_pem(pair.public.to_pem().decode())):
        again.verify(b"signed", pair.sign(b"signed"), pair.algorithm)
        assert again.thumbprint() == pair.public.thumbprint()
        assert again.algorithms == pair.public.algorithms
    for restored in (PrivateKey.from_pem(pair.to_pem()), PrivateKey.from_pem(pair.to_pem(), ours=True)):
        assert restored.algorithm == pair.algorithm
        pair.public.verify(b"signed", restored.sign(b"signed"), pair.algorithm)


def test_what_a_key_may_be_used_with() -> None:
    kinds = {name: (pair.public.kind, set(pair.public.algorithms)) for name, pair in PAIRS.items()}
    assert kinds == {
        "RSA": ("RSA", RSA_ALGORITHMS),
        "P-256": ("EC", {"ES256"}),
        "P-384": ("EC", {"ES384"}),
        "P-521": ("EC", {"ES512"}),
        "Ed25519": ("OKP", {"EdDSA", "Ed25519"}),
    }


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    example = {  # RFC 7638 §3.1
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB"
        "ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
        "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
        "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    key = PublicKey.from_jwk(example)
    assert key.thumbprint() == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert key.algorithms == {"RS256"}
    assert key.to_jwk() == {name: example[name] for name in ("kty", "n", "e")}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"use": "enc"}, "key_use"),
        ({"use": 7}, "key_use"),
        ({"key_ops": ["sign"]}, "key_use"),
        ({"key_ops": []}, "key_use"),
        ({"key_ops": "verify"}, "key_use"),
        ({"alg": "ES256"}, "key_mismatch"),
        ({"alg": "HS256"}, "key_mismatch"),
        ({"alg": "EdDSA"}, "key_mismatch"),
        ({"alg": "none"}, "key_mismatch"),
        ({"alg": ["RS256"]}, "malformed_key"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "private_key"),
        ({"kty": "oct"}, "unsupported_key"),
        ({"kty": ["RSA"]}, "unsupported_key"),
        ({"kty": None}, "unsupported_key"),
        ({"d": "AQAB"}, "private_key"),
        ({"n": None}, "malformed_key"),
        ({"n": 7}, "malformed_key"),
        ({"n": ""}, "malformed_key"),
        ({"n": "é"}, "malformed_key"),
        ({"n": "A==="}, "malformed_key"),
        ({"n": "AQAB"}, "malformed_key"),
        ({"e": "AAEAAQ"}, "malformed_key"),  # 65537 with a leading zero octet: a second spelling
        ({"e": "Ag"}, "malformed_key"),  # 2
    ],
)
def test_refused_rsa_jwk(change: dict[str, Any], reason: str) -> None:
    assert refused_jwk({**PAIRS["RSA"].public.to_jwk(), **change}) == reason


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("P-256", {"crv": "P-384"}, "malformed_key"),
        ("P-256", {"crv": "P-192"}, "malformed_key"),
        ("P-256", {"crv": ["P-256"]}, "malformed_key"),
        ("P-256", {"y": PAIRS["P-384"].public.to_jwk()["y"]}, "malformed_key"),
        ("P-256", {"x": "AA"}, "malformed_key"),  # not on the curve
        ("Ed25519", {"crv": "X25519"}, "unsupported_key"),
        ("Ed25519", {"x": "AA"}, "malformed_key"),
    ],
)
def test_refused_curve_jwk(name: str, change: dict[str, Any], reason: str) -> None:
    assert refused_jwk({**PAIRS[name].public.to_jwk(), **change}) == reason


def test_an_unknown_member_is_ignored_and_an_alg_narrows() -> None:
    jwk = PAIRS["RSA"].public.to_jwk()
    assert PublicKey.from_jwk({**jwk, "x5c": ["…"], "new": {}, "use": "sig", "key_ops": ["verify"]}).kind == "RSA"
    narrow = PublicKey.from_jwk({**jwk, "alg": "PS256"})
    with pytest.raises(JoseError, match="does not fit"):
        narrow.verify(b"signed", PAIRS["RSA"].sign(b"signed"), "RS256")
    assert PublicKey.from_jwk({**PAIRS["Ed25519"].public.to_jwk(), "alg": "Ed25519"}).algorithms == {"EdDSA", "Ed25519"}


def test_weak_and_oversized_rsa() -> None:
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - this is the point
    assert refused_pem(public_pem(short)) == "weak_key"
    assert refused_pem(public_pem(rsa.generate_private_key(3, 2048))) == "weak_key"
    assert refused_pem(long_rsa(8193)) == "weak_key"
    assert PublicKey.from_pem(long_rsa(8192)).kind == "RSA"
    with pytest.raises(JoseError) as caught:
        PrivateKey.from_pem(private_pem(short))
    assert caught.value.reason == "weak_key"


@pytest.mark.parametrize(
    "generate",
    [
        ed448.Ed448PrivateKey.generate,
        lambda: ec.generate_private_key(ec.SECP256K1()),
        lambda: dsa.generate_private_key(1024),  # noqa: S505 - a longer one takes seconds
    ],
    ids=["Ed448", "secp256k1", "DSA"],
)
def test_other_kinds_of_key(generate: Callable[[], Any]) -> None:
    key = generate()
    assert refused_pem(public_pem(key)) == "unsupported_key"
    with pytest.raises(JoseError) as caught:
        PrivateKey.from_pem(private_pem(key))
    assert caught.value.reason == "unsupported_key"


def test_the_curve_of_the_blockchains() -> None:
    numbers = ec.generate_private_key(ec.SECP256K1()).public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
    assert refused_jwk({"kty": "EC", "crv": "secp256k1", "x": x, "y": y}) == "unsupported_key"


def test_a_key_for_agreement_cannot_verify() -> None:
    assert refused_pem(public_pem(x25519.X25519PrivateKey.generate())) == "unsupported_key"


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@here",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        PAIRS["RSA"].public.to_pem() * 2,
        "-----BEGIN PUBLIC KEY-----\n\ud800\n",
    ],
)
def test_not_a_public_pem(pem: bytes | str) -> None:
    assert refused_pem(pem) == "malformed_key"


def test_private_pem_that_cannot_be_used() -> None:
    cases = {
        PAIRS["RSA"].public.to_pem(): "not_private_key",
        private_pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x")): "encrypted_key",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n": "malformed_key",
        b"nothing": "malformed_key",
    }
    for pem, reason in cases.items():
        with pytest.raises(JoseError) as caught:
            PrivateKey.from_pem(pem)
        assert caught.value.reason == reason


def test_a_private_key_shows_nothing_and_stays_where_it_is() -> None:
    key = PAIRS["P-256"]
    assert repr(key) == "PrivateKey(ES256, …)"
    assert repr(key.public) == f"PublicKey(EC, thumbprint={key.public.thumbprint()!r})"
    assert copy.copy(key) is copy.deepcopy({"key": key})["key"] is key
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(key)


def test_a_public_key_can_be_copied() -> None:
    copied = copy.deepcopy(PAIRS["RSA"].public)
    copied.verify(b"signed", PAIRS["RSA"].sign(b"signed"), "RS256")


def test_without_the_extra_the_message_names_it() -> None:
    program = "import sys; sys.modules['joserfc'] = None; import authsec.jose"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert 'pip install "./packages/authsec[key,verify]"' in ended.stderr
    assert "install authsec[" not in ended.stderr  # a bare name would be looked for in the public index
