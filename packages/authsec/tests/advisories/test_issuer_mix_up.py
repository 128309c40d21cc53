"""One authority's metadata is served where another's is looked for, and its keys are believed.

RFC 8414 §3.3: the `issuer` in the document must be, character for character, the one that was asked for.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec import KeysUnavailable

from ..fake_keys import JWKS, METADATA, FakeClock, key_set, reason_of, serving, token


@pytest.mark.parametrize(
    "named", ["{url}/", "{url}/tenant", "https://authsec.example.com", "{url}?", "", None, 7, ["{url}"]]
)
def test_metadata_of_another_issuer(named: Any) -> None:
    with serving() as authority:
        issuer = named.format(url=authority.url) if isinstance(named, str) else named
        authority.publish({"issuer": issuer, "jwks_uri": authority.url + JWKS}, METADATA)
        with pytest.raises(KeysUnavailable, match=r"its metadata names (the issuer '.*'|no issuer) instead of"):
            authority.verifier(FakeClock()).verify(authority.token())
        assert authority.key_sets_fetched == 0


def test_the_issuer_that_was_found_is_named_in_one_short_line() -> None:
    with serving() as authority:
        named = "https://other.example.com/\n\x1b[31m" + "x" * 5000
        authority.publish({"issuer": named, "jwks_uri": authority.url + JWKS}, METADATA)
        with pytest.raises(
            KeysUnavailable, match=r"names the issuer 'https://other\.example\.com/ \[31mx+…'"
        ) as caught:
            authority.verifier(FakeClock()).verify(authority.token())
        assert len(str(caught.value)) < 400
        assert str(caught.value).isprintable()


def test_a_token_of_another_authority_with_the_same_key_name() -> None:
    with serving() as ours, serving() as theirs:
        theirs.publish({"keys": key_set("theirs")["keys"]})
        verifier = ours.verifier(FakeClock())
        assert reason_of(verifier, token(iss=theirs.url)) == "issuer_mismatch"
        assert reason_of(verifier, theirs.token("theirs")) == "kid_unknown"
        assert theirs.asked == []
