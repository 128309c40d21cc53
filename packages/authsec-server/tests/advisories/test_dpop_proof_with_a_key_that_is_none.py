"""The header of a proof brings the key that verifies the proof, so the key is all that an attacker needs to spoil.

A private key in it was published by its owner. A symmetric key, or none, verifies what anybody signs. A key of another
kind than `alg` is read by two libraries in two ways (RFC 9449 section 4.3, steps 4 to 7).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
from authsec.jose import PrivateKey
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from dpop_proofs import KEY, KEYS, proof, sent, unsigned_proof
from jose_attacks import encoded
from token_endpoint import by_assertion
from workload_evidence import NOW

JWK = KEY.public.to_jwk()
SECRET = {"kty": "oct", "k": encoded(b"k" * 32)}


def _private_members() -> dict[str, str]:
    native = load_pem_private_key(KEY.to_pem(), None)
    assert isinstance(native, ec.EllipticCurvePrivateKey)
    return {**JWK, "d": encoded(native.private_numbers().private_value.to_bytes(32))}


def _weak_rsa() -> dict[str, str]:
    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()  # noqa: S505 - the point
    return {"kty": "RSA", "n": encoded(numbers.n.to_bytes(128)), "e": "AQAB"}


@pytest.fixture
def refused(house: Any) -> Callable[..., bool]:
    """Whether the token endpoint refuses these proofs, and repeats no part of them."""
    its = house()
    agent = its.delegated_agent()
    return lambda *values: is_refused(by_assertion(its.door(), agent.assertion(), headers=sent(*values)), values)


def is_refused(answer: Any, values: Sequence[str]) -> bool:
    assert answer.status_code in {200, 400}, answer.text
    assert all(value[:60] not in answer.text for value in values if value)
    return bool(answer.json().get("error") == "invalid_dpop_proof")


HEADERS: list[dict[str, Any]] = [
    {"jwk": _private_members()},
    {"jwk": {**JWK, "d": ""}},
    {"jwk": {**JWK, "k": "AA"}},
    {"jwk": SECRET},
    {"jwk": {}},
    {"jwk": None},
    {"jwk": "key"},
    {"jwk": [JWK]},
    {"jwk": {"keys": [JWK]}},
    {"jwk": {**JWK, "kty": "RSA"}},
    {"jwk": {**JWK, "crv": "P-384"}},
    {"jwk": {**JWK, "x": JWK["y"]}},
    {"jwk": {**JWK, "use": "enc"}},
    {"jwk": {**JWK, "alg": "ES384"}},
    {"jwk": {**JWK, "key_ops": ["encrypt"]}},
    {"jwk": KEYS["ES384"].public.to_jwk()},
    {"jwk": KEYS["RS256"].public.to_jwk()},
    {"jwk": KEYS["EdDSA"].public.to_jwk()},
    {"jwk": _weak_rsa(), "alg": "RS256"},
    {"jwk": _weak_rsa()},
    {"alg": "none"},
    {"alg": "HS256"},
    {"alg": "ES384"},
    {"alg": "RS256"},
    {"alg": "EdDSA"},
    {"alg": None},
    {"alg": 7},
    {"typ": "JWT"},
    {"typ": "at+jwt"},
    {"typ": "client-authentication+jwt"},
    {"typ": None},
    {"typ": 7},
    {"typ": ["dpop+jwt"]},
    {"crit": ["jwk"]},
    {"crit": []},
    {"x5c": ["AA"]},
    {"jku": "https://attacker.example/keys"},
]


@pytest.mark.filterwarnings("ignore:Key size")  # joserfc warns of what `PublicKey` refuses
def test_such_a_header_is_refused(refused: Callable[..., bool]) -> None:
    assert [header for header in HEADERS if not refused(proof(KEY, NOW, header=header))] == []
    assert not refused(proof(KEY, NOW))


def test_a_mac_or_no_signature_is_no_proof(refused: Callable[..., bool]) -> None:
    for alg, jwk in product(("none", "HS256", "HS384", "HS512"), (JWK, SECRET)):
        unsigned = unsigned_proof(KEY, NOW, {"alg": alg, "jwk": jwk})
        for secret in (KEY.public.to_pem(), json.dumps(jwk).encode(), b"k" * 32, b""):
            mac = hmac.digest(secret, unsigned, f"sha{alg[2:]}") if alg != "none" else b""
            assert refused(f"{unsigned.decode()}.{encoded(mac)}"), (alg, jwk)


def test_a_request_has_exactly_one_proof(refused: Callable[..., bool]) -> None:
    """Two servers on the way may read different ones."""
    one, two = proof(KEY, NOW), proof(PrivateKey.generate_ec(), NOW)
    assert refused(one, two)
    assert refused(one, one)
    assert refused(f"{one}, {two}")
    assert refused(f"{one},")
    assert refused(one, "")
    assert refused("")
    assert not refused(proof(KEY, NOW))
