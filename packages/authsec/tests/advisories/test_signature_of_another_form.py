"""A signature in another form than the RFC's: DER, zeros, numbers that are too large.

Libraries have accepted r = s = 0 for every message (CVE-2022-21449), and signatures that a stranger changed without the
key. ES256 is r and s of 32 octets each (RFC 7518 section 3.4). Ed25519 has one signature for a message and a key
(RFC 8032 section 5.1.7).
"""

from __future__ import annotations

import pytest
from authsec.jose import PrivateKey, assemble, parse_compact
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from ..fake_keys import NOW, FakeClock, jwk_of, reason_of, token, verifier_of

CURVE, EDWARDS = PrivateKey.generate_ec(), PrivateKey.generate_ed25519()
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
ED25519_PRIME = 2**255 - 19

es256 = verifier_of({"keys": [jwk_of(CURVE, "current")]})
eddsa = verifier_of({"keys": [jwk_of(EDWARDS, "current")]})


def with_signature(text: str, signature: bytes) -> str:
    return assemble(parse_compact(text).signing_input, signature)


def r_and_s(text: str) -> tuple[int, int]:
    signature = parse_compact(text).signature
    return int.from_bytes(signature[:32]), int.from_bytes(signature[32:])


def raw(r: int, s: int, size: int = 32) -> bytes:
    return r.to_bytes(size) + s.to_bytes(size)


def test_der_is_no_es256_signature() -> None:
    good = token(CURVE)
    assert es256.verify(good)
    assert reason_of(es256, with_signature(good, encode_dss_signature(*r_and_s(good)))) == "signature_invalid"


@pytest.mark.parametrize("size", [31, 33, 48, 66])
def test_r_and_s_have_32_octets_each(size: int) -> None:
    good = token(CURVE)
    r, s = r_and_s(good)
    octets = raw(r, s, max(size, 32))
    changed = octets if size > 32 else octets[1:-1]
    assert reason_of(es256, with_signature(good, changed)) == "signature_invalid"
    assert reason_of(es256, with_signature(good, raw(r, s)[:-1])) == "signature_invalid"
    assert reason_of(es256, with_signature(good, raw(r, s) + b"\0")) == "signature_invalid"


@pytest.mark.parametrize("r", [0, 1, P256_ORDER - 1, P256_ORDER, P256_ORDER + 1, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, P256_ORDER - 1, P256_ORDER, P256_ORDER + 1, 2**256 - 1])
def test_numbers_that_no_message_gave(r: int, s: int) -> None:
    assert reason_of(es256, with_signature(token(CURVE), raw(r, s))) == "signature_invalid"


def test_a_zero_for_r_or_for_s() -> None:
    good = token(CURVE)
    r, s = r_and_s(good)
    for changed in ((0, s), (r, 0), (P256_ORDER, s), (r, P256_ORDER)):
        assert reason_of(es256, with_signature(good, raw(*changed))) == "signature_invalid"


def test_the_twin_of_a_signature_is_the_same_token() -> None:
    """ECDSA verifies (r, n - s) as well, and RFC 7518 forbids neither. So nothing may depend on the signature's text.

    The twin has the same `jti`, expires with the token, and is revoked with the token.
    """
    clock = FakeClock()
    verifier = verifier_of({"keys": [jwk_of(CURVE, "current")]}, clock=clock.clock())
    good = token(CURVE)
    r, s = r_and_s(good)
    twin = with_signature(good, raw(r, P256_ORDER - s))
    assert twin != good
    assert verifier.verify(twin) == verifier.verify(good)
    clock.pass_by(700)
    assert reason_of(verifier, twin) == reason_of(verifier, good) == "token_expired"
    assert clock.wall > NOW


@pytest.mark.parametrize("times", [1, 2, 7])
def test_an_ed25519_signature_has_no_twin(times: int) -> None:
    """S + L verifies where nobody compares S with L: RFC 8032 section 8.4 calls that malleability."""
    good = token(EDWARDS)
    assert eddsa.verify(good)
    signature = signature_of(good)
    s = int.from_bytes(signature[32:], "little") + times * ED25519_ORDER
    changed = signature[:32] + s.to_bytes(32, "little")
    assert reason_of(eddsa, with_signature(good, changed)) == "signature_invalid"


def signature_of(text: str) -> bytes:
    return parse_compact(text).signature


SMALL_ORDER = [
    (0).to_bytes(32, "little"),
    (1).to_bytes(32, "little"),
    (ED25519_PRIME - 1).to_bytes(32, "little"),
    ED25519_PRIME.to_bytes(32, "little"),  # zero and one, not canonical
    (ED25519_PRIME + 1).to_bytes(32, "little"),
    (2**255 - 1).to_bytes(32, "little"),
    b"\xff" * 32,
    (1 | 1 << 255).to_bytes(32, "little"),  # one with the sign of minus zero
]


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_an_ed25519_point_of_small_order_or_in_another_spelling(point: bytes) -> None:
    good = token(EDWARDS)
    s = signature_of(good)[32:]
    for changed in (point + s, point + bytes(32)):
        assert reason_of(eddsa, with_signature(good, changed)) == "signature_invalid"


@given(st.binary(min_size=0, max_size=130))
def test_no_other_octets_are_a_signature(octets: bytes) -> None:
    for key, verifier in ((CURVE, es256), (EDWARDS, eddsa)):
        good = token(key)
        if octets and octets != signature_of(good):
            assert reason_of(verifier, with_signature(good, octets)) == "signature_invalid"
