from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from authsec.jose import JoseError, PrivateKey, parse_compact, sign_compact
from authsec.jose.dpop import (
    INVALID_PROOF,
    MOST_BYTES,
    PROOF_ALGORITHMS,
    DpopError,
    DpopProof,
    make_proof,
    read_proof,
    same_uri,
    token_hash,
)
from hypothesis import given
from hypothesis import strategies as st

from .fake_keys import NOW, raw_token, rsa_key

URL = "https://api.example.com/customers/7"
TOKEN = "a.b.c"
KEYS = {
    "RS256": rsa_key,
    "ES256": cache(PrivateKey.generate_ec),
    "ES384": cache(lambda: PrivateKey.generate_ec("P-384")),
    "ES512": cache(lambda: PrivateKey.generate_ec("P-521")),
    "EdDSA": cache(PrivateKey.generate_ed25519),
}
# The examples of RFC 9449: figures 2, 7 and 13.
RFC_HEADER = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJo"
    "RjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
RFC_KEY = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
RFC_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
RFC_AT_TOKEN_ENDPOINT = (
    f"{RFC_HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29t"
    "L3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ"
    ".2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
RFC_AT_REFRESH = (
    f"{RFC_HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29t"
    "L3Rva2VuIiwiaWF0IjoxNTYyMjY1Mjk2fQ"
    ".pAqut2IRDm_De6PR93SYmGBPXpwrAk90e8cP2hjiaG5QsGSuKDYW7_X620BxqhvYC8ynrrvZLTk41mSRroapUA"
)
RFC_AT_RESOURCE = (
    f"{RFC_HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9y"
    "Zy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtz"
    "bVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)


def proof(key: PrivateKey | None = None, **changes: Any) -> str:
    wanted = {"method": "GET", "url": URL, "now": NOW, "jti": "j1", "access_token": TOKEN, **changes}
    return make_proof(key or KEYS["ES256"](), **wanted)


def forged(header: dict[str, Any] | None = None, key: PrivateKey | None = None, **claims: Any) -> str:
    """A signed proof of any header and claims; a change to None leaves the member out."""
    key = key or KEYS["ES256"]()
    heads = {"typ": "dpop+jwt", "jwk": key.public.to_jwk(), **(header or {})}
    good = {"jti": "j1", "htm": "GET", "htu": URL, "iat": NOW, "ath": token_hash(TOKEN)}
    return sign_compact(
        {name: value for name, value in heads.items() if value is not None},
        {name: value for name, value in {**good, **claims}.items() if value is not None},
        key,
    )


def read(*values: str, **changes: Any) -> DpopProof:
    wanted = {"method": "GET", "url": URL, "now": NOW, "access_token": TOKEN, **changes}
    return read_proof(values, **wanted)


def refusal(*values: str, **changes: Any) -> str:
    """Why the proof is refused. Fails if it is not."""
    with pytest.raises(DpopError) as caught:
        read(*values, **changes)
    assert caught.value.code == INVALID_PROOF == "invalid_dpop_proof"
    return str(caught.value)


@pytest.mark.parametrize("alg", KEYS)
def test_a_proof_that_an_agents_key_makes_is_read(alg: str) -> None:
    key = KEYS[alg]()
    expected = DpopProof(thumbprint=key.public.thumbprint(), jti="j1", issued_at=NOW)
    assert read(proof(key)) == expected
    assert alg in PROOF_ALGORITHMS


@pytest.mark.parametrize(
    ("value", "at", "issued", "jti"),
    [
        (RFC_AT_TOKEN_ENDPOINT, ("POST", "https://server.example.com/token", None), 1562262616, "-BwC3ESc6acc2lTc"),
        (RFC_AT_REFRESH, ("POST", "https://server.example.com/token", None), 1562265296, "-BwC3ESc6acc2lTc"),
        (
            RFC_AT_RESOURCE,
            ("GET", "https://resource.example.org/protectedresource", RFC_TOKEN),
            1562262618,
            "e1j3V_bKic8-LAEB",
        ),
    ],
)
def test_the_examples_of_the_rfc(value: str, at: tuple[str, str, str | None], issued: int, jti: str) -> None:
    method, url, token = at
    found = read_proof([value], method=method, url=url, now=issued + 5, access_token=token)
    assert found == DpopProof(thumbprint=RFC_KEY, jti=jti, issued_at=issued)


def test_a_proof_has_exactly_the_members_of_the_rfc() -> None:
    made = parse_compact(proof(nonce="n1", url=f"{URL}?page=2#top"), embedded_key=True)
    key = KEYS["ES256"]()
    assert dict(made.header) == {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.public.to_jwk()}
    expected = {"jti": "j1", "htm": "GET", "htu": URL, "iat": NOW, "nonce": "n1", "ath": token_hash(TOKEN)}
    assert dict(made.claims) == expected
    assert "ath" not in parse_compact(proof(access_token=None), embedded_key=True).claims


def test_the_nonce_is_returned_for_the_caller_to_check() -> None:
    assert read(proof(nonce="n1")).nonce == "n1"
    assert "nonce" in refusal(forged(nonce=1))


@pytest.mark.parametrize("values", [(), ("",), (" ",), ("x",), ("a.b.c",)])
def test_no_proof(values: tuple[str, ...]) -> None:
    assert refusal(*values)


def test_several_headers_even_if_a_server_has_joined_them() -> None:
    one, other = proof(jti="j1"), proof(jti="j2")
    assert "several" in refusal(one, other)
    assert "several" in refusal(f"{one}, {other}")
    assert "several" in refusal(one, one)
    assert read(f" {one} ").jti == "j1"


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ({"typ": None}, "typ"),
        ({"typ": "JWT"}, "typ"),
        ({"typ": "at+jwt"}, "typ"),
        ({"jwk": None}, "jwk"),
        ({"jwk": []}, "jwk"),
        ({"jwk": {}}, "key"),
        ({"jwk": {"kty": "oct", "k": "c2VjcmV0"}}, "private or symmetric"),
        ({"crit": ["exp"], "exp": 1}, "extension"),
        ({"b64": False}, "extension"),
        ({"x5c": ["MIIB"]}, "key"),
        ({"jku": "https://evil.example"}, "key"),
    ],
)
def test_headers_that_are_refused(header: dict[str, Any], word: str) -> None:
    assert word in refusal(forged(header))


def test_a_kid_selects_no_key() -> None:
    assert read(forged({"kid": "another"})).thumbprint == KEYS["ES256"]().public.thumbprint()


@pytest.mark.parametrize("alg", ["none", "HS256", "RS512", "PS512", "ES256K"])
def test_algorithms_that_are_refused(alg: str) -> None:
    key = KEYS["ES256"]()
    header = json.dumps({"typ": "dpop+jwt", "alg": alg, "jwk": key.public.to_jwk()}).encode()
    assert "alg" in refusal(raw_token(header, b"{}", key))


@pytest.mark.parametrize(
    ("alg", "key"), [("ES256", "EdDSA"), ("RS256", "ES256"), ("ES384", "ES256"), ("EdDSA", "RS256")]
)
def test_an_algorithm_of_another_kind_of_key(alg: str, key: str) -> None:
    jwk = KEYS[key]().public.to_jwk()
    header = json.dumps({"typ": "dpop+jwt", "alg": alg, "jwk": jwk}).encode()
    payload = json.dumps({"jti": "j1", "htm": "GET", "htu": URL, "iat": NOW, "ath": token_hash(TOKEN)}).encode()
    assert "does not fit" in refusal(raw_token(header, payload, KEYS[key]()))


def test_both_names_of_ed25519() -> None:
    key = KEYS["EdDSA"]()
    header = json.dumps({"typ": "dpop+jwt", "alg": "Ed25519", "jwk": key.public.to_jwk()}).encode()
    payload = json.dumps({"jti": "j1", "htm": "GET", "htu": URL, "iat": NOW, "ath": token_hash(TOKEN)}).encode()
    assert read(raw_token(header, payload, key)).thumbprint == key.public.thumbprint()


def test_weak_and_costly_rsa_keys() -> None:
    jwk = rsa_key().public.to_jwk()
    assert "exponent" in refusal(forged({"jwk": {**jwk, "e": "AQABAQABAQAB"}}, rsa_key()))
    assert "exponent" in refusal(forged({"jwk": {**jwk, "e": "Aw"}}, rsa_key()))
    assert "2048" in refusal(forged({"jwk": {**jwk, "n": jwk["n"][:128]}}, rsa_key()))


def test_the_signature_of_another_key() -> None:
    thief = PrivateKey.generate_ec()
    assert "signature" in refusal(forged({"jwk": KEYS["ES256"]().public.to_jwk()}, thief))


@pytest.mark.parametrize("name", ["jti", "htm", "htu", "iat", "ath"])
@pytest.mark.parametrize("value", [None, 1.5, True, [], {}, ""])
def test_claims_that_are_missing_or_of_another_type(name: str, value: object) -> None:
    assert name in refusal(forged(**{name: value}))


def test_a_jti_has_at_most_256_characters() -> None:
    assert read(forged(jti="j" * 256)).jti == "j" * 256
    assert "jti" in refusal(forged(jti="j" * 257))


def test_a_proof_of_another_request() -> None:
    assert "htm" in refusal(proof(), method="POST")
    assert "htm" in refusal(forged(htm="get"))
    assert "htu" in refusal(proof(), url=f"{URL}0")
    assert "ath" in refusal(proof(), access_token="a.b.d")
    assert "ath" in refusal(proof(access_token=None))
    assert read(proof(), access_token=None).jti == "j1"


@pytest.mark.parametrize("iat", [NOW - 61, NOW + 61, 0, -1, 2**53 - 1])
def test_a_proof_of_another_time(iat: int) -> None:
    assert "iat" in refusal(forged(iat=iat))


def test_the_window_is_the_callers() -> None:
    assert read(forged(iat=NOW - 60)).issued_at == NOW - 60
    assert read(forged(iat=NOW + 60)).issued_at == NOW + 60
    assert read(forged(iat=NOW + 299), window_seconds=300).issued_at == NOW + 299
    assert "5 seconds" in refusal(forged(iat=NOW - 6), window_seconds=5)


def test_a_huge_iat_is_refused_and_not_computed_with() -> None:
    key = KEYS["ES256"]()
    header = json.dumps({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.public.to_jwk()}).encode()
    for iat in ("1e308", "9" * 400, "-" + "9" * 40, "NaN", "Infinity"):
        payload = f'{{"jti":"j1","htm":"GET","htu":"{URL}","iat":{iat},"ath":"{token_hash(TOKEN)}"}}'
        assert refusal(raw_token(header, payload.encode(), key))


def test_a_long_proof_is_refused_before_it_is_decoded() -> None:
    assert str(MOST_BYTES) in refusal("a" * (MOST_BYTES + 1))
    assert str(MOST_BYTES) in refusal(forged(padding="x" * MOST_BYTES))


def test_a_member_twice_is_refused() -> None:
    key = KEYS["ES256"]()
    header = json.dumps({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.public.to_jwk()}).encode()
    payload = f'{{"htu":"https://evil.example","jti":"j1","htm":"GET","htu":"{URL}","iat":{NOW}}}'
    assert "strict JSON" in refusal(raw_token(header, payload.encode(), key))


def test_no_refusal_contains_the_proof() -> None:
    for value in (forged(jti=None), forged(htu="https://secret.example"), f"{proof()}!", proof()[:-2]):
        text = refusal(value)
        assert "secret.example" not in text
        assert not any(part in text for part in value.split(".") if len(part) > 8)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://api.example.com", "https://api.example.com/"),
        ("HTTPS://API.example.com/a", "https://api.example.com/a"),
        ("https://api.example.com:443/a", "https://api.example.com/a"),
        ("http://api.example.com:80/a", "http://api.example.com/a"),
        ("https://api.example.com:/a", "https://api.example.com/a"),
        ("https://api.example.com/a?b=c", "https://api.example.com/a"),
        ("https://api.example.com?b=/c", "https://api.example.com/"),
        ("https://api.example.com/a#b", "https://api.example.com/a"),
        ("https://api.example.com/%7euser", "https://api.example.com/~user"),
        ("https://api.example.com/a%c3%bc", "https://api.example.com/a%C3%BC"),
        ("https://[2001:DB8::1]/a", "https://[2001:db8::1]/a"),
    ],
)
def test_uris_that_are_equal(one: str, other: str) -> None:
    assert same_uri(one, other)
    assert same_uri(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://api.example.com/a", "https://api.example.com/a"),
        ("https://api.example.com:8443/a", "https://api.example.com/a"),
        ("https://api.example.com/A", "https://api.example.com/a"),
        ("https://api.example.com/a/", "https://api.example.com/a"),
        ("https://api.example.com//a", "https://api.example.com/a"),
        ("https://api.example.com/b/../a", "https://api.example.com/a"),
        ("https://api.example.com/a%2Fb", "https://api.example.com/a/b"),
        ("https://api.example.com.evil.example/a", "https://api.example.com/a"),
        ("https://evil.example/https://api.example.com/a", "https://api.example.com/a"),
    ],
)
def test_uris_that_differ(one: str, other: str) -> None:
    assert not same_uri(one, other)
    assert not same_uri(other, one)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/a",
        "//api.example.com/a",
        "ftp://api.example.com/a",
        "https:///a",
        "https://user@api.example.com/a",
        "https://api.example.com\\@evil.example/a",
        "https://api.example.com /a",
        "https://api.example.com/a b",
        "https://api.example.com/a\n",
        "https://api.example.com:x/a",
        "https://api.example.com:999999/a",
        "https://ünïcode.example/a",
    ],
)
def test_texts_that_are_no_uri_equal_nothing(text: str) -> None:
    assert not same_uri(text, text)


@given(st.text())
def test_any_text_is_refused_with_the_code_of_the_rfc(value: str) -> None:
    assert refusal(value)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.dictionaries(st.sampled_from(["typ", "alg", "jwk", "crit", "kid", "x5c"]), _json),
    st.dictionaries(st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce"]), _json),
)
def test_other_members_never_lead_to_another_exception(header: dict[str, Any], claims: dict[str, Any]) -> None:
    key = KEYS["ES256"]()
    heads = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.public.to_jwk(), **header}
    good = {"jti": "j1", "htm": "GET", "htu": URL, "iat": NOW, "ath": token_hash(TOKEN), **claims}
    try:
        found = read(raw_token(json.dumps(heads).encode(), json.dumps(good).encode(), key))
    except DpopError:
        return
    assert found.thumbprint == key.public.thumbprint()
    assert good["htm"] == "GET"
    assert good["ath"] == token_hash(TOKEN)
    assert abs(good["iat"] - NOW) <= 60


@given(st.data())
def test_no_changed_character_is_accepted(data: st.DataObject) -> None:
    good = proof()
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.sampled_from("ABCXYZabcxyz0189-_.=+").filter(lambda character: character != good[at]))
    assert refusal(good[:at] + other + good[at + 1 :])


_path = st.from_regex(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]{0,20}", fullmatch=True)


@given(
    path=_path,
    query=st.from_regex(r"(\?[a-z=&/:]{0,9})?(#[a-z/?]{0,9})?", fullmatch=True),
    method=st.sampled_from(["GET", "POST"]),
)
def test_a_made_proof_is_read_for_its_own_request_only(path: str, query: str, method: str) -> None:
    url = f"https://api.example.com{path}"
    made = proof(url=url + query, method=method)
    assert read(made, url=url, method=method).jti == "j1"
    assert "htu" in refusal(made, url=f"{url}x", method=method)


def test_only_a_proof_may_have_its_key_in_its_header() -> None:
    with pytest.raises(JoseError) as caught:
        parse_compact(proof())
    assert caught.value.reason == "embedded_key"
