"""Two Authorization headers, and the gateway checks one while the API behind it uses the other."""

from __future__ import annotations

import pytest
from authsec.asgi import BearerAuth

from ..fake_keys import token, verifier_of
from ..speaking_asgi import call


async def reached(scope: object, receive: object, send: object) -> None:
    raise AssertionError("the request was let through")


@pytest.mark.parametrize(
    "headers",
    [
        ("Bearer good", "Bearer good"),
        ("Bearer good", "Basic dXNlcjpwYXNz"),
        ("Basic dXNlcjpwYXNz", "Bearer good"),
        ("Bearer good, Bearer good",),
        ("Bearer good,",),
        ("Bearer good Bearer good",),
    ],
)
def test_credentials_with_two_readings_are_refused(headers: tuple[str, ...]) -> None:
    guarded = BearerAuth(reached, verifier=verifier_of())
    answer = call(guarded, "/", *(header.replace("good", token()) for header in headers))
    assert answer.status == 400
    assert 'error="invalid_request"' in answer.headers["www-authenticate"]
    assert answer.body["reason"] == "invalid_request"
