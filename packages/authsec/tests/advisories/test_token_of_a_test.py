"""A token that was made for tests opens an API that runs.

`authsec.testing` gives whoever asks a token for any agent. So its keys and its issuer must count for nothing outside of
tests: an API cannot be set up to expect that issuer, by whatever spelling, nor does one that expects its own authority
take such a token, not even with the key that signed it.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec import ConfigError, TokenVerifier
from authsec.testing import ISSUER, ThrowawayAuthority
from authsec.testing.tokens import key_set
from authsec.verifier.revocations.policy import NoRevocations

from ..fake_keys import AUDIENCE, reason_of

NAMES = [
    ISSUER, f"{ISSUER}/", "https://AUTHSEC.INVALID", "https://authsec.invalid.", "https://authsec.invalid:443/x",
    "http://authsec.invalid", "https://invalid", "https://bob@other.invalid",
]  # fmt: skip
SETTINGS: list[dict[str, Any]] = [
    {},
    {"keys": key_set(), "revocations": "until_exp"},
    {"keys": key_set(), "revocations": NoRevocations(), "allow_http_hosts": ["authsec.invalid"]},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["fetched", "offline", "unfollowed"])
@pytest.mark.parametrize("issuer", NAMES)
def test_no_verifier_is_made_for_the_issuer_of_tests(issuer: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        TokenVerifier(issuer, AUDIENCE, **settings)
    assert caught.value.reason == "issuer_invalid"


@pytest.mark.parametrize("issuer", ["https://authsec.example.com", "https://invalid.example.com", "https://notinvalid"])
def test_the_key_of_tests_vouches_for_nobody_else(issuer: str) -> None:
    verifier = TokenVerifier(issuer, AUDIENCE, keys=key_set(), revocations="until_exp")
    with ThrowawayAuthority() as authority:
        assert reason_of(verifier, authority.issue_token("customers:read", AUDIENCE)) == "issuer_mismatch"


def test_two_authorities_of_tests_do_not_share_their_revocations() -> None:
    with ThrowawayAuthority() as one, ThrowawayAuthority() as other:
        mine, theirs = one.verifier(AUDIENCE), other.verifier(AUDIENCE)
        token = one.issue_token()
        one.revoke(token)
        assert reason_of(mine, token) == "token_revoked"
        theirs.verify(token)
