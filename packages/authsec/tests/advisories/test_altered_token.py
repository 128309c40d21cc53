"""No altered token ever verifies: not a bit, not a character, not a part of another token."""

from __future__ import annotations

import base64
from functools import cache

import pytest
from authsec import InvalidToken
from authsec.jose import PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples

from ..fake_keys import jwk_of, reason_of, rsa_key, token, verifier_of

ALGORITHMS = ("RS256", "ES256", "EdDSA")


@cache
def key(alg: str) -> PrivateKey:
    return {"RS256": rsa_key, "ES256": PrivateKey.generate_ec, "EdDSA": PrivateKey.generate_ed25519}[alg]()


@cache
def good(alg: str) -> str:
    return token(key(alg))


@cache
def verifier(alg: str):  # inferred
    return verifier_of({"keys": [jwk_of(key(alg), "current")]}, algorithms=ALGORITHMS)


@settings(max_examples=examples(300))
@given(st.sampled_from(ALGORITHMS), st.data())
def test_any_other_character_anywhere(alg: str, data: st.DataObject) -> None:
    bearer = good(alg)
    place = data.draw(st.integers(0, len(bearer) - 1))
    character = data.draw(st.characters().filter(lambda drawn: drawn != bearer[place]))
    with pytest.raises(InvalidToken):
        verifier(alg).verify(bearer[:place] + character + bearer[place + 1 :])


@settings(max_examples=examples(300))
@given(st.sampled_from(ALGORITHMS), st.data())
def test_any_other_bit_of_any_part(alg: str, data: st.DataObject) -> None:
    parts = [base64.urlsafe_b64decode(part + "==") for part in good(alg).split(".")]
    part = data.draw(st.integers(0, 2))
    bit = data.draw(st.integers(0, 8 * len(parts[part]) - 1))
    changed = bytearray(parts[part])
    changed[bit // 8] ^= 1 << bit % 8
    parts[part] = bytes(changed)
    with pytest.raises(InvalidToken):
        verifier(alg).verify(".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts))


@given(st.sampled_from(ALGORITHMS), st.data())
def test_any_cut_or_repetition(alg: str, data: st.DataObject) -> None:
    bearer = good(alg)
    cut = data.draw(st.integers(0, len(bearer) - 1))
    for changed in (bearer[:cut], bearer[cut + 1 :], bearer + bearer[cut:]):
        with pytest.raises(InvalidToken):
            verifier(alg).verify(changed)


def test_parts_of_two_good_tokens() -> None:
    one, other = token().split("."), token(jti="another").split(".")
    assert one[0] == other[0]
    assert reason_of(verifier_of(), ".".join((one[0], other[1], one[2]))) == "signature_invalid"
    assert reason_of(verifier_of(), ".".join((one[0], one[1], other[2]))) == "signature_invalid"
