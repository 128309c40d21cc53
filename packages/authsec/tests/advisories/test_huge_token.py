"""A token made to cost something before it is refused: 200 kB of payload, or brackets to the bottom of the stack."""

from __future__ import annotations

import time

import pytest

from ..fake_keys import GOOD_HEADER, json_with, raw_token, reason_of, token, verifier_of


def test_200_kilobytes_are_refused_unread() -> None:
    assert reason_of(verifier_of(), token(extra="x" * 200_000)) == "token_too_large"
    assert reason_of(verifier_of(), "x" * 200_000) == "token_too_large"
    assert reason_of(verifier_of(), "." * 200_000) == "token_too_large"


def test_a_longer_text_is_not_the_token_that_it_begins_with() -> None:
    bearer = token()
    verifier = verifier_of(max_bytes=len(bearer))
    assert verifier.verify(bearer)
    for more in (".", "A" * 100_000):
        assert reason_of(verifier, bearer + more) == "token_too_large"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth_does_not_reach_the_interpreter(opening: str) -> None:
    closing = "]" if opening == "[" else "1}"
    deep = opening * 2000 + closing * 2000
    verifier = verifier_of(max_bytes=100_000)
    assert reason_of(verifier, raw_token(GOOD_HEADER, json_with(f'"extra": {deep}'))) == "token_malformed"


def test_a_modulus_of_digits_is_not_computed() -> None:
    verifier = verifier_of(max_bytes=10**6)
    forged = raw_token(GOOD_HEADER, json_with(f'"extra": {"9" * 500_000}'))
    began = time.perf_counter()
    assert reason_of(verifier, forged) == "token_malformed"
    assert time.perf_counter() - began < 1  # int() alone would take several seconds
