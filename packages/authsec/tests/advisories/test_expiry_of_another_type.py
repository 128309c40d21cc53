"""An `exp` that is no whole number, and a comparison that is true by accident.

Verifiers have let tokens live for ever because `exp` was a string, NaN (every comparison with it is false), infinite,
`true` (which is 1) or so large that the conversion to a date failed after the check.
"""

from __future__ import annotations

import json

import pytest

from ..fake_keys import GOOD_HEADER, NOW, claims, raw_token, reason_of, verifier_of


def with_time(name: str, text: str) -> str:
    others = json.dumps({key: value for key, value in claims().items() if key != name})
    return raw_token(GOOD_HEADER, f'{others[:-1]}, "{name}": {text}}}'.encode())


def test_the_time_as_it_should_be() -> None:
    assert verifier_of().verify(with_time("exp", str(NOW + 600)))


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f'"{NOW + 600}"', "claim_invalid"),
        (f"{NOW + 600}.0", "claim_invalid"),
        ("1.8e9", "claim_invalid"),
        ("true", "claim_invalid"),
        ("null", "claim_invalid"),
        (f"[{NOW + 600}]", "claim_invalid"),
        ("{}", "claim_invalid"),
        ("-1", "claim_invalid"),
        ("253402300800", "claim_invalid"),
        ("9007199254740991", "claim_invalid"),
        ("NaN", "token_malformed"),
        ("Infinity", "token_malformed"),
        ("-Infinity", "token_malformed"),
        ("1e999", "token_malformed"),
        ("9" * 5000, "token_malformed"),
    ],
)
def test_times_that_are_no_whole_seconds(name: str, text: str, reason: str) -> None:
    assert reason_of(verifier_of(), with_time(name, text)) == reason


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_a_time_that_is_missing(name: str) -> None:
    others = {key: value for key, value in claims().items() if key != name}
    assert reason_of(verifier_of(), raw_token(GOOD_HEADER, json.dumps(others).encode())) == "claim_invalid"
