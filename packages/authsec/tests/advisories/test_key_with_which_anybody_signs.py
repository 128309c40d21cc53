"""An Ed25519 key is a point of small order. Then a signature of constants verifies, without any private key.

An agent that binds its tokens to such a key, or a stranger that registers one, gives the key away to everybody.
RFC 8032 §5.1.7 does not refuse these keys.
"""

from __future__ import annotations

import base64
import json

import pytest
from authsec.jose import JoseError, PublicKey
from authsec.jose.dpop import DpopError, read_proof
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ..fake_keys import NOW

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
IDENTITY = (0, 1)


def added(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """The sum of two points (RFC 8032 §5.1.4)."""
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2
    return (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def points_of_order_eight() -> set[tuple[int, int]]:
    """All points that eight times themselves are the identity, as multiples of one of them."""
    root = pow(2, (P - 1) // 4, P)  # of -1
    for number in range(2, 50):
        y = number
        square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        x = pow(square, (P + 3) // 8, P)
        x = x if x * x % P == square else x * root % P
        if x * x % P != square:
            continue
        point, order = (x, y), 2**252 + 27742317777372353535851937790883648493
        cleared = IDENTITY
        for bit in bin(order)[2:]:
            cleared = added(cleared, cleared)
            cleared = added(cleared, point) if bit == "1" else cleared
        multiples = {IDENTITY}
        step = cleared
        while step not in multiples:
            multiples.add(step)
            step = added(step, cleared)
        if len(multiples) == 8:
            return multiples
    raise AssertionError("no such point was found")


def encodings() -> set[bytes]:
    """Each encoding of each of these points: a second one where y + p has 255 bits, and either sign where x is 0."""
    found = set()
    for x, y in points_of_order_eight():
        for number in (y, y + P):
            for sign in {x & 1} if x else {0, 1}:
                if number < 2**255:
                    found.add((number | sign << 255).to_bytes(32, "little"))
    return found


def base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def test_all_of_them_are_known() -> None:
    assert len(encodings()) == 14


@pytest.mark.parametrize("octets", sorted(encodings()), ids=lambda octets: octets.hex()[:8])
def test_no_signature_by_such_a_key_is_accepted(octets: bytes) -> None:
    with pytest.raises(JoseError) as caught:
        PublicKey(Ed25519PublicKey.from_public_bytes(octets))
    assert caught.value.reason == "weak_key"
    header = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": base64url(octets)}}
    for number in range(8):  # the constant matches one of some eight texts
        claims = {"jti": str(number), "htm": "GET", "htu": "https://api.example", "iat": NOW}
        signed = [base64url(json.dumps(part).encode()) for part in (header, claims)]
        for constant in encodings():
            proof = ".".join([*signed, base64url(constant + bytes(32))])
            with pytest.raises(DpopError, match="anybody can make signatures"):
                read_proof([proof], method="GET", url="https://api.example", now=NOW)
