"""With `other_issuers="pass"`, a bad token of ours made to look like somebody else's, so that nobody verifies it here.

What is passed on has no agent, so nothing is ever accepted this way. But an API whose own authentication is careless
would see a token that we should have refused.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from authsec.asgi import BearerAuth, agent_of
from hypothesis import given
from hypothesis import strategies as st

from ..fake_keys import GOOD_HEADER, ISSUER, NOW, claims, raw_token, rsa_key, token, verifier_of
from ..speaking_asgi import call


async def reached(scope: Any, receive: Any, send: Any) -> None:
    assert agent_of(scope) is None
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


GUARDED = BearerAuth(reached, verifier=verifier_of(), other_issuers="pass")


def with_issuers(*issuers: str) -> bytes:
    rest = json.dumps(claims(iss=None))[1:]
    return ("{" + "".join(f'"iss": {issuer}, ' for issuer in issuers) + rest).encode()


OURS, THEIRS = json.dumps(ISSUER), '"https://users.example.com"'


@pytest.mark.parametrize(
    "payload",
    [
        with_issuers(OURS, THEIRS),
        with_issuers(THEIRS, OURS),
        with_issuers(OURS.replace("a", "\\u0061")),
        b"  " + with_issuers(OURS),
        b'{"number": ' + b"1" * 5000 + b", " + with_issuers(OURS)[1:],
        with_issuers(OURS).decode().encode("utf-16-le"),
    ],
)
def test_whoever_could_be_read_as_our_issuer_is_verified(payload: bytes) -> None:
    assert call(GUARDED, "/", f"Bearer {raw_token(GOOD_HEADER, payload, rsa_key('a stranger'))}").status == 401


@pytest.mark.parametrize("claim", [{"exp": NOW - 60}, {"aud": "https://other.example.com"}, {"jti": None}])
def test_ours_with_anything_wrong_is_refused(claim: dict[str, Any]) -> None:
    assert call(GUARDED, "/", f"Bearer {token(**claim)}").status == 401


def test_ours_without_its_signature_and_ours_among_more_parts() -> None:
    header, payload, signature = token().split(".")
    for disguised in (
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature}.x",
        f".{payload}.",
    ):
        assert call(GUARDED, "/", f"Bearer {disguised}").status == 401


@pytest.mark.parametrize("headers", [("Basic dTpw", "Bearer x"), ("Basic dTpw, Bearer x",), ("Bearer a b",)])
def test_a_second_token_is_not_passed_on_behind_the_first(headers: tuple[str, ...]) -> None:
    assert call(GUARDED, "/", *headers).status == 400


@given(st.text("htps:/.authsecxmlo ", max_size=12), st.sampled_from(["", "/", " ", ".example.org"]))
def test_a_foreign_token_never_has_an_agent(before: str, after: str) -> None:
    issuer = f"{before}{ISSUER}{after}"
    if issuer != ISSUER:
        foreign = raw_token(GOOD_HEADER, json.dumps(claims(iss=issuer)).encode())
        assert call(GUARDED, "/", f"Bearer {foreign}").status == 299
