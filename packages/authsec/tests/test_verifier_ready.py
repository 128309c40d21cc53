"""A verifier that is asked whether it would accept anything, before the first token comes."""

from __future__ import annotations

import pytest
from authsec import KeysUnavailable, RevocationsUnavailable, TokenVerifier

from .fake_feed import feeding
from .fake_keys import AUDIENCE, ISSUER, key_set


def test_it_begins_what_the_first_token_would_begin() -> None:
    with feeding() as feed:
        verifier = feed.verifier()
        verifier.check_ready()
        assert (verifier.health().keys.age, feed.pages) == (0.0, 1)
        verifier.close()


def test_it_says_what_is_missing() -> None:
    with feeding() as feed:
        feed.head = {"iss": "https://authsec.example.org"}
        verifier = feed.verifier()
        with pytest.raises(RevocationsUnavailable, match=r"The revocations are not known: .+"):
            verifier.check_ready()
        verifier.close()
    verifier = TokenVerifier("http://127.0.0.1:9", AUDIENCE)
    with pytest.raises(KeysUnavailable):
        verifier.check_ready()
    verifier.close()


def test_with_given_keys_nothing_can_be_missing() -> None:
    TokenVerifier(ISSUER, AUDIENCE, keys=key_set(), revocations="until_exp").check_ready()
