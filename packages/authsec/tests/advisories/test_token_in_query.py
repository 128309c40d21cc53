"""A token in the URL (`?access_token=…`, RFC 6750 §2.3) ends up in logs, histories and Referer headers.

RFC 9700 §4.3.2 forbids it. If it worked, somebody would use it; so it is never read.
"""

from __future__ import annotations

from authsec.asgi import BearerAuth

from ..fake_keys import token, verifier_of
from ..speaking_asgi import call
from .test_two_authorization_headers import reached


def test_the_query_is_never_read() -> None:
    guarded = BearerAuth(reached, verifier=verifier_of())
    answer = call(guarded, "/", query=f"access_token={token()}")
    assert answer.status == 401
    assert answer.body["reason"] == "token_missing"
