from __future__ import annotations

import base64
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from authsec.jose import (
    JoseError,
    PrivateKey,
    PublicKey,
    assemble,
    parse_compact,
    sign_compact,
    signing_input,
    verify_compact,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples

from .fake_keys import raw_token, rsa_key

KEYS = {
    "RS256": rsa_key,
    "ES256": PrivateKey.generate_ec,
    "ES384": lambda: PrivateKey.generate_ec("P-384"),
    "ES512": lambda: PrivateKey.generate_ec("P-521"),
    "EdDSA": PrivateKey.generate_ed25519,
}
CLAIMS = {"sub": "x", "n": 1}
HEADER = b'{"alg":"RS256"}'


def reason(token: str | bytes, key: PublicKey | None = None, algorithms: Any = ("RS256",)) -> str:
    with pytest.raises(JoseError) as caught:
        verify_compact(token, key or rsa_key().public, algorithms=algorithms)
    return caught.value.reason


@pytest.mark.parametrize("alg", KEYS)
def test_signed_and_verified(alg: str) -> None:
    key = KEYS[alg]()
    token = sign_compact({"typ": "JWT", "alg": "none"}, CLAIMS, key)
    jws = verify_compact(token, key.public, algorithms={alg})
    assert key.algorithm == alg
    assert dict(jws.header) == {"typ": "JWT", "alg": alg}
    assert dict(jws.claims) == CLAIMS
    assert jws.signing_input == token.rpartition(".")[0].encode()
    assert verify_compact(token.encode(), key.public, algorithms=[alg]).claims == CLAIMS


def test_both_names_of_ed25519_are_the_same_algorithm() -> None:
    key = PrivateKey.generate_ed25519()
    signed = signing_input({"alg": "Ed25519"}, CLAIMS)
    token = assemble(signed, key.sign(signed))
    assert verify_compact(token, key.public, algorithms={"Ed25519"}).claims == CLAIMS
    assert reason(token, key.public, {"EdDSA"}) == "alg_not_allowed"


def test_no_algorithm_allowed_means_no() -> None:
    assert reason(sign_compact({}, CLAIMS, rsa_key()), algorithms=()) == "alg_not_allowed"


def test_the_signature_of_another_key() -> None:
    token = sign_compact({}, CLAIMS, rsa_key())
    assert reason(token, rsa_key("other").public) == "bad_signature"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        "a.b.c.d",
        "..",
        "a..c",
        ".b.c",
        "e30.e30.",
        "é.e30.YQ",
        "e30.e30.Y",
        "e30\n.e30.YQ",
        " e30.e30.YQ",
    ],
)
def test_not_a_compact_jws(token: str) -> None:
    assert reason(token) == "malformed"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"{}", "malformed"),
        (b'{"alg":256}', "malformed"),
        (b'{"alg":null}', "malformed"),
        (b'["RS256"]', "malformed"),
        (b'{"alg":"RS256","alg":"RS256"}', "malformed"),
        (b'{"alg":"RS256","kid":7}', "malformed"),
        (b'{"alg":"RS256","typ":["at+jwt"]}', "malformed"),
        (b"\xff", "malformed"),
        (b'{"alg":"RS256","crit":[]}', "crit"),
        (b'{"alg":"RS256","crit":["exp"],"exp":1}', "crit"),
        (b'{"alg":"RS256","b64":false}', "crit"),
        (b'{"alg":"RS256","b64":true}', "crit"),
        (b'{"alg":"RS256","jwk":{}}', "embedded_key"),
        (b'{"alg":"RS256","jku":null}', "embedded_key"),
        (b'{"alg":"RS256","x5u":"https://x"}', "embedded_key"),
        (b'{"alg":"RS256","x5c":[]}', "embedded_key"),
        (b'{"alg":"RS384"}', "alg_not_allowed"),
        (b'{"alg":"rs256"}', "alg_not_allowed"),
    ],
)
def test_header(header: bytes, code: str) -> None:
    assert reason(raw_token(header, b"{}")) == code


def test_a_thumbprint_in_the_header_is_no_key() -> None:
    token = raw_token(b'{"alg":"RS256","x5t":"abc","x5t#S256":"abc"}', b"{}")
    assert verify_compact(token, rsa_key().public, algorithms=["RS256"]).claims == {}


@pytest.mark.parametrize("payload", [b"", b"1", b"[]", b'"x"', b'{"a":1,"a":1}', b'{"a":NaN}', b'{"a":"\\ud800"}'])
def test_payload_must_be_one_strict_object(payload: bytes) -> None:
    assert reason(raw_token(b'{"alg":"RS256"}', payload)) == "malformed"


def test_the_number_of_parts() -> None:
    token = sign_compact({}, CLAIMS, rsa_key())
    assert reason(token + ".YQ") == "malformed"
    assert reason(token.rpartition(".")[0]) == "malformed"


def test_of_a_token_that_was_copied_in_part_it_is_said() -> None:
    token = sign_compact({}, CLAIMS, rsa_key())  # a signature of 256 octets leaves four bits to spare
    with pytest.raises(JoseError, match="the token is damaged, perhaps because only a part was copied"):
        parse_compact(f"{token[:-1]}B")


def test_size_is_looked_at_first() -> None:
    token = sign_compact({}, CLAIMS, rsa_key())
    assert verify_compact(token, rsa_key().public, algorithms=["RS256"], max_bytes=len(token))
    assert reason("." * 16_385) == "too_large"
    token = sign_compact({}, {"a": "x" * 30_000}, rsa_key())
    assert reason(token) == "too_large"
    assert verify_compact(token, rsa_key().public, algorithms=["RS256"], max_bytes=50_000).claims["a"][0] == "x"


def test_nothing_shows_what_is_inside() -> None:
    jws = parse_compact(sign_compact({"kid": "hush"}, {"sub": "hush"}, rsa_key()))
    assert repr(jws) == "UnverifiedJws(…)"
    assert repr(jws.verified_by(rsa_key().public, algorithms=["RS256"])) == "VerifiedJws(…)"
    with pytest.raises(TypeError):
        jws.claims["sub"] = "other"  # this is the point


def test_a_message_names_the_rule_and_not_the_content() -> None:
    with pytest.raises(JoseError) as caught:
        parse_compact(raw_token(b'{"alg":"RS256"}', b'{"hush":1,"hush":1}'))
    assert str(caught.value) == "the token has a payload that is not strict JSON: a name occurs twice in one object"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("length", [1, 2000])
def test_a_header_is_checked_however_long_it_is_and_however_often_it_comes(length: int) -> None:
    kid = "k" * length
    good, bad = sign_compact({"kid": kid}, CLAIMS, rsa_key()), sign_compact({"kid": kid, "crit": []}, CLAIMS, rsa_key())
    for _ in range(2):
        assert parse_compact(good).header == {"alg": "RS256", "kid": kid}
        assert reason(bad) == "crit"


@given(st.binary() | st.text())
def test_the_parser_raises_nothing_else(token: bytes | str) -> None:
    with pytest.raises(JoseError):
        parse_compact(token)


@settings(max_examples=examples(50))
@given(st.binary(max_size=200), st.sampled_from(list(KEYS)))
def test_no_octets_but_the_signature_verify(signature: bytes, alg: str) -> None:
    key = made(alg)
    with pytest.raises(JoseError, match="does not verify"):
        key.public.verify(b"signed", signature, alg)


@cache
def made(alg: str) -> PrivateKey:
    return KEYS[alg]()


@given(st.binary())
def test_one_text_for_the_same_octets(octets: bytes) -> None:
    assert assemble(b"e30.e30", octets) == f"e30.e30.{encoded(octets)}"


@given(st.text(st.sampled_from("AZaz09-_QgwE+/=. \n!é"), max_size=12) | st.binary().map(lambda octets: encoded(octets)))
def test_of_all_spellings_one_is_accepted(part: str) -> None:
    """The reference is slow and plain: what Python's lenient decoder makes of it, spelt anew."""
    try:
        lenient = base64.urlsafe_b64decode(part + "===")
    except ValueError:
        lenient = b""
    if part and part == encoded(lenient):
        assert parse_compact(f"{encoded(HEADER)}.e30.{part}").signature == lenient
    else:
        with pytest.raises(JoseError):
            parse_compact(f"{encoded(HEADER)}.e30.{part}")


@pytest.mark.parametrize(("before", "endings"), [("", 0), ("A", 4), ("AA", 16), ("AAA", 64), ("AAAA", 0)])
def test_the_last_character_has_no_bit_to_spare(before: str, endings: int) -> None:
    accepted = 0
    for last in map(chr, range(128)):
        with suppress(JoseError):  # those that are refused are not counted
            parse_compact(f"{encoded(HEADER)}.e30.{before}{last}")
            accepted += 1
    assert accepted == endings


def encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
