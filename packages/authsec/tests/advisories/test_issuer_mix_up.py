"""One authority's metadata is served where another's is looked for, and its keys are believed.

RFC 8414 §3.3: the `issuer` in the document must be, character for character, the one that was asked for. And
where an API takes tokens of two authorities, neither can make one for the other.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from authsec import InvalidToken, KeysUnavailable, SeveralAuthorities, TokenVerifier
from hypothesis import given
from hypothesis import strategies as st

from ..fake_keys import (
    AUDIENCE,
    GOOD_HEADER,
    ISSUER,
    JWKS,
    METADATA,
    UNFOLLOWED,
    FakeClock,
    claims,
    jwk_of,
    key_set,
    raw_token,
    reason_of,
    rsa_key,
    serving,
    token,
)

OTHER = f"{ISSUER}/other"
SIGNERS = {ISSUER: "current", OTHER: "other"}  # each authority's key, which both call the same
BOTH = SeveralAuthorities(
    *(
        TokenVerifier(
            issuer, AUDIENCE, keys={"keys": [jwk_of(rsa_key(name), "current")]}, clock=FakeClock().clock(), **UNFOLLOWED
        )
        for issuer, name in SIGNERS.items()
    )
)


@pytest.mark.parametrize(
    "named", ["{url}/", "{url}/tenant", "https://authsec.example.com", "{url}?", "", None, 7, ["{url}"]]
)
def test_metadata_of_another_issuer(named: Any) -> None:
    with serving() as authority:
        issuer = named.format(url=authority.url) if isinstance(named, str) else named
        authority.publish({"issuer": issuer, "jwks_uri": authority.url + JWKS}, METADATA)
        with pytest.raises(
            KeysUnavailable, match=r"the authority's metadata names (the issuer '.*'|no issuer) instead of"
        ):
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
        assert reason_of(verifier, theirs.token("theirs")) == "issuer_mismatch"
        assert (ours.asked, theirs.asked) == ([], [])


def test_both_issuers_are_in_the_log_once_a_minute_and_the_caller_hears_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving() as ours:
        clock = FakeClock()
        both = SeveralAuthorities(ours.verifier(FakeClock()))
        verifier = ours.verifier(clock)
        stranger = "https://other.example.com\n\x1b[31mERROR forged"
        for wait in (0, 59, 1):
            clock.pass_by(wait)
            with pytest.raises(InvalidToken) as refused:
                verifier.verify(token(iss=stranger, header={"kid": "unknown"}))
        with pytest.raises(InvalidToken):
            both.verify(token(iss=stranger))
        assert (refused.value.reason, str(refused.value)) == (
            "issuer_mismatch",
            "The token was issued by another authority.",
        )
        assert f"This API accepts tokens of the authority {ours.url}. Send such a token" in str(refused.value.details)
        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        line = f"this API trusts {ours.url}, the last token has the issuer https://other.example.com [31mERROR forged"
        assert [line in each for each in said] == [True, True, True]


ISSUERS = st.one_of(
    st.sampled_from([ISSUER, OTHER]),
    st.sampled_from([f"{ISSUER}/", OTHER.upper(), "", None, 7, [ISSUER], {"iss": ISSUER}]),
)


@given(st.lists(ISSUERS, max_size=3), st.sampled_from(["current", "other"]), st.booleans())
def test_of_two_authorities_each_vouches_for_its_own_tokens_only(named: list[Any], signer: str, last: bool) -> None:
    rest = json.dumps(claims(iss=None))[1:-1]
    issuers = [f'"iss": {json.dumps(issuer)}' for issuer in named]
    payload = ", ".join([rest, *issuers] if last else [*issuers, rest])
    bearer = raw_token(GOOD_HEADER, f"{{{payload}}}".encode(), rsa_key(signer))
    if len(named) == 1 and isinstance(named[0], str) and SIGNERS.get(named[0]) == signer:
        assert BOTH.verify(bearer).claims["iss"] == named[0]
    else:
        with pytest.raises(InvalidToken):
            BOTH.verify(bearer)


@pytest.mark.parametrize("text", ["", ".", "a.b.c", "é.\ud800.", "W10.W10.W10", "x" * 50_000])
def test_of_two_authorities_none_takes_what_is_no_token(text: str) -> None:
    with pytest.raises(InvalidToken):
        BOTH.verify(text)


def test_a_token_of_a_third_authority_has_nobody_asked() -> None:
    with serving() as ours, serving() as theirs:
        both = SeveralAuthorities(ours.verifier(FakeClock()), theirs.verifier(FakeClock()))
        with pytest.raises(InvalidToken) as refused:
            both.verify(token(iss="https://users.example.com"))
        assert (refused.value.reason, ours.asked, theirs.asked) == ("issuer_mismatch", [], [])
