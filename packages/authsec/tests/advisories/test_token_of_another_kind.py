"""A JWT that the same authority signed for something else is used as an access token.

An ID token, a logout token or a proof has the right issuer, the right signature and perhaps the right audience. RFC
9068 gives access tokens a type of their own, and RFC 8725 §3.11 asks to check it.
"""

from __future__ import annotations

import pytest

from ..fake_keys import reason_of, token, verifier_of


@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", "", "dpop+jwt", "logout+jwt", "secevent+jwt", "at+jwt ", "at", "text/at+jwt"]
)
def test_only_access_tokens(typ: str) -> None:
    assert reason_of(verifier_of(), token(header={"typ": typ})) == "typ_not_allowed"
