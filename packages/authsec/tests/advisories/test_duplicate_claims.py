"""One name twice, and two parsers that each take another one.

A gateway that reads the first `scope` and an API that reads the last one disagree on what a token allows. RFC 7519 §4
lets a parser take the last; refusing leaves nothing to disagree on.
"""

from __future__ import annotations

import pytest

from ..fake_keys import GOOD_HEADER, json_with, raw_token, reason_of, verifier_of


def test_the_raw_token_would_be_good_without_the_trick() -> None:
    assert verifier_of().verify(raw_token(GOOD_HEADER, json_with('"extra": 1')))


@pytest.mark.parametrize(
    "member",
    [
        '"exp": 9999999999',
        '"scope": "customers:delete"',
        '"permissions": ["customers:delete"]',
        '"aud": "https://crm.example.com"',
        '"\\u0065xp": 9999999999',
        '"extra": {"a": 1, "a": 1}',
        '"extra": [{"a": 1, "\\u0061": 1}]',
    ],
)
def test_a_repeated_claim(member: str) -> None:
    assert reason_of(verifier_of(), raw_token(GOOD_HEADER, json_with(member))) == "token_malformed"


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"RS256","typ":"at+jwt","kid":"current","kid":"current"}',
        b'{"alg":"none","alg":"RS256","typ":"at+jwt","kid":"current"}',
        b'{"\\u0061lg":"none","alg":"RS256","typ":"at+jwt","kid":"current"}',
    ],
)
def test_a_repeated_header(header: bytes) -> None:
    assert reason_of(verifier_of(), raw_token(header, json_with('"extra": 1'))) == "token_malformed"
