"""Texts of strangers at each parser: a declared refusal, no other error, and no time that grows as the square."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import pytest
from attesting import CLIENT_ID, client
from authsec import strict_json
from authsec.jose import JoseError, PrivateKey, assemble, parse_compact
from authsec.jose.dpop import DpopError, read_proof, same_uri
from authsec_server.attestation.model import Evidence, Proved, Refused, Scheme
from authsec_server.attestation.service import attest
from authsec_server.attestation.workloads import Workloads
from authsec_server.clients.model import Platform, Proof, ProofKind
from authsec_server.clients.selectors import KEYS, parse_selectors
from authsec_server.failures import Failure
from authsec_server.tokens.dpop import DpopNonces
from authsec_server.tokens.refusal import Denied
from authsec_server.tokens.request import parse, read_resources, read_scope
from authsec_server.tokens.token_form import PRIVATE_KEY_JWT
from authsec_server.web.oauth import Grant, read_basic
from authsec_server.web.request_context import address_of
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from examples import examples

House = Any
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
ISSUER = "https://authsec.example.com"
NONE = Workloads(lambda _trusted_issuer, _kid: None, issuer=ISSUER, trust_domain="example.com")
KEY = PrivateKey.generate_ed25519()
OWN = client(
    Proof(
        id="p1",
        client_id=CLIENT_ID,
        kind=ProofKind.KEY_PAIR,
        public_key=KEY.public.to_jwk(),
        thumbprint=KEY.public.thumbprint(),
        created_at=NOW,
    )
)

texts = st.text(max_size=60) | st.text("aA0-_.:/ %+&=\0\n\\\"'é😀", max_size=60)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.integers(SECONDS - 400, SECONDS + 4000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def encoded(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


def signed(header: Any, claims: Any) -> str:
    """A token that the client's key signed, whatever its header and claims are."""
    unsigned = b".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    return assemble(unsigned, KEY.sign(unsigned))


@settings(max_examples=examples(200))
@given(
    st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "cty"]), json_values, max_size=3) | json_values,
    st.dictionaries(st.sampled_from(["iss", "sub", "aud", "exp", "iat", "nbf", "jti"]), json_values) | json_values,
    st.sampled_from([Scheme.BEARER, Scheme.KEY_PAIR, Scheme.WORKLOAD, Scheme.SVID]),
)
def test_what_a_client_signs_is_proof_or_refused(header: Any, claims: Any, scheme: Scheme) -> None:
    good = {"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": ISSUER, "exp": SECONDS + 60, "iat": SECONDS, "jti": "0123456789"}
    header = {"alg": "EdDSA", **header} if isinstance(header, dict) else header
    claims = {**good, **claims} if isinstance(claims, dict) else claims
    evidence = Evidence(scheme=scheme, credential=signed(header, claims))
    result = attest(OWN, {}, evidence, workloads=NONE, issuer=ISSUER, now=NOW)
    assert isinstance(result, Proved | Refused)
    if isinstance(result, Proved):
        assert (claims["iss"], claims["sub"], header["alg"]) == (CLIENT_ID, CLIENT_ID, "EdDSA")
        assert claims["aud"] in (ISSUER, [ISSUER])
        assert SECONDS - 30 < claims["exp"] <= SECONDS + 330


@settings(max_examples=examples(200))
@given(json_values, json_values, st.binary(min_size=1, max_size=70))
def test_a_jws_that_is_read_has_one_text_and_one_meaning(header: Any, claims: Any, signature: bytes) -> None:
    header = {"alg": "EdDSA", **header} if isinstance(header, dict) else header
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    text = b".".join(map(encoded, parts))
    try:
        read = parse_compact(text)
    except JoseError:
        return
    assert (dict(read.header), dict(read.claims), read.signature) == (header, claims, signature)
    assert assemble(read.signing_input, read.signature).encode() == text


fields = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "grant_type",
                "client_id",
                "client_secret",
                "client_assertion",
                "client_assertion_type",
                "assertion",
                "scope",
                "resource",
            ]
        )
        | texts,
        st.sampled_from(
            [*Grant, PRIVATE_KEY_JWT, "support-agent", "customers:read", CLIENT_ID, "http://127.0.0.1:7468"]
        )
        | texts,
    ),
    max_size=8,
)
forms = (
    fields.map(urlencode).map(str.encode)
    | fields.map(lambda given: urlencode([("grant_type", Grant.CLIENT_CREDENTIALS), *given]).encode())
    | st.binary(max_size=80)
)


@pytest.mark.hypothesis
def test_any_form_is_refused_as_oauth_says(house: Callable[..., House]) -> None:
    door: TestClient = house(address_limit=10**9, unproved_limit=10**9).door()

    @settings(max_examples=examples(200))
    @given(
        forms,
        st.none()
        | st.sampled_from([b"Basic YTpi", b"Bearer x", b"Basic", b"DPoP a.b.c", b"\xff"])
        | st.binary(max_size=20),
        st.none() | st.sampled_from([b"a.b.c", b"", b"e30.e30.e30", b"a,b"]),
    )
    def check(form: bytes, authorization: bytes | None, proof: bytes | None) -> None:
        headers = {b"content-type": b"application/x-www-form-urlencoded"}
        headers |= {} if authorization is None else {b"authorization": authorization}
        headers |= {} if proof is None else {b"dpop": proof}
        answer = door.post("/oauth/token", content=form, headers=headers)
        assert answer.status_code in {400, 401}
        told = answer.json()
        assert re.fullmatch(r"[a-z_]+", told["error"])
        # RFC 6749 section 5.2: no other octets, so that a client may log the text.
        assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]*", told["error_description"])

    check()


@settings(max_examples=examples(200))
@given(
    st.lists(st.tuples(st.sampled_from(["client_id", "scope", "resource"]) | texts, texts), max_size=6), st.lists(texts)
)
def test_any_query_is_a_request_or_refused(query: list[tuple[str, str]], headers: list[str]) -> None:
    found = parse(query, headers[:1], headers, address="", request_id="")
    if isinstance(found, Denied):
        return
    assert read_scope([" ".join(found.actions or ())]) == (found.actions or ())
    assert read_resources(found.resources) == found.resources


@pytest.mark.hypothesis
def test_any_cursor_is_refused_also_with_a_right_checksum(admin: TestClient) -> None:
    document = admin.get("/authsec/api/v1/openapi.json").json()
    lists = sorted(
        path
        for path, methods in document["paths"].items()
        if "{" not in path and "cursor" in {each["name"] for each in methods.get("get", {}).get("parameters", ())}
    )
    positions = texts | st.sampled_from(
        ["2026-01-01T00:00:00Z", "0", "-1", "9" * 30, "a\x00b", CLIENT_ID, "a b", "null"]
    )

    @settings(max_examples=examples(120))
    @given(
        st.sampled_from(lists), positions, st.booleans(), st.sampled_from(["", "1", "0", "-1", "9" * 25, "٣", "1e3"])
    )
    def check(path: str, position: str, is_checked: bool, limit: str) -> None:
        cursor = position
        if is_checked:
            named = position.encode("utf-8", "surrogatepass")
            digest = sha256(f"{path.rpartition('/')[2]}\n".encode() + named).digest()
            cursor = encoded(digest[:6] + named).decode()
        answer = admin.get(path, params={"cursor": cursor} | ({"limit": limit} if limit else {}))
        assert answer.status_code in {200, 400}, answer.text

    check()


@given(texts | st.binary(max_size=40).map(lambda octets: base64.urlsafe_b64encode(octets).decode()))
def test_no_text_is_a_nonce(text: str) -> None:
    nonces = DpopNonces(issuer=ISSUER, key=bytes(32))
    assert not nonces.is_valid(text, SECONDS)


@given(st.lists(st.binary(max_size=60), max_size=3), st.sampled_from(["127.0.0.1", "::1", "unix"]))
def test_any_forwarded_address_is_an_address_or_that_of_the_proxy(given_: list[bytes], peer: str) -> None:
    headers = [(b"x-forwarded-for", value) for value in given_]
    found = address_of({"type": "http", "client": (peer, 1), "headers": headers}, ("127.0.0.1", "::1"))
    assert found == "" or ipaddress.ip_address(found)


@given(texts | st.binary(max_size=40).map(lambda octets: base64.b64encode(octets).decode()))
def test_any_basic_credential_is_a_pair_or_nothing(text: str) -> None:
    assert read_basic(text) is None or all(isinstance(each, str) for each in read_basic(text) or ())


LONG = 16_000
REPEATED = [
    "[",
    '{"a":',
    '"\\u0000',
    "9",
    "-",
    "\\",
    "%",
    "%25",
    "&",
    "=",
    "+",
    ".",
    "a.",
    "/",
    ":",
    " ",
    "a ",
    "*",
    "é",
    "\0",
]


def _any_selector(text: str) -> None:
    for platform, known in KEYS.items():
        for key in known:
            parse_selectors(platform, [(key.key, text)])
            parse_selectors(platform, [(key.key + text, "x")])
        parse_selectors(Platform(platform), [(text, text)])


@pytest.mark.parametrize(
    "reads",
    [
        lambda text: strict_json.loads(text.encode()),
        lambda text: parse_compact(encoded(text.encode()) + b".e30.e30"),
        parse_compact,
        lambda text: read_proof([text[:8000]], method="GET", url=ISSUER, now=SECONDS),
        lambda text: same_uri(f"https://a/{text}", f"https://{text}"),
        read_basic,
        lambda text: read_scope([text]),
        lambda text: read_resources([text[:512]] * 10),
        lambda text: DpopNonces(issuer=ISSUER, key=bytes(32)).is_valid(text, SECONDS),
        _any_selector,
    ],
    ids=["JSON", "header of a JWS", "JWS", "DPoP", "URI", "Basic", "scope", "resources", "nonce", "selectors"],
)
def test_no_parser_takes_the_square_of_a_length(reads: Callable[[str], Any]) -> None:
    for pattern in REPEATED:
        for end in ("", "!", "]", '"'):
            text = (pattern * LONG)[:LONG] + end
            began = time.process_time()
            with contextlib.suppress(Failure, JoseError, DpopError, strict_json.StrictJsonError):
                reads(text)
            assert time.process_time() - began < 0.5, (pattern, end)
