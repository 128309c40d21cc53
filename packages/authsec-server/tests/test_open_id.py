"""Sign-in through an OpenID Connect provider: what is asked, what is believed, what is said when it is not."""

from __future__ import annotations

import base64
import json
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from authsec.jose import PrivateKey
from authsec_server.accounts.oidc import OpenIdRefusal, SignInRefused, sign_in_of
from authsec_server.accounts.oidc.flow import AT_ONCE
from authsec_server.accounts.oidc.identity import _WORDS, RoleRule
from authsec_server.accounts.oidc.provider import RETRY_PAUSE, UNKNOWN_KEY_PAUSE
from authsec_server.failures import StartupRefused
from authsec_server.principal import Role
from authsec_server.settings import load_settings
from hypothesis import given
from hypothesis import strategies as st


def refused(provider: Any, its: Any = None, **changes: str) -> SignInRefused:
    with pytest.raises(SignInRefused) as raised:
        provider.walk(its or provider.sign_in(), **changes)
    return raised.value


def test_the_browser_is_sent_with_everything_that_protects_it(provider: Any) -> None:
    begun = provider.sign_in(public_url="https://authsec.example.com").begin("/console/keys")
    address, _, query = begun.url.partition("?")
    asked = dict(parse_qsl(query, strict_parsing=True))
    assert address == f"{provider.issuer}/auth"
    assert asked.pop("redirect_uri") == "https://authsec.example.com/console/sign-in/callback"
    assert (asked.pop("response_type"), asked.pop("client_id")) == ("code", "authsec")
    assert asked.pop("scope") == "openid email profile"
    assert asked.pop("code_challenge_method") == "S256"
    assert sorted(asked) == ["code_challenge", "nonce", "state"]
    assert all(len(value) == 43 for value in asked.values())
    assert len(set(asked.values())) == 3
    other = dict(parse_qsl(urlsplit(provider.sign_in().begin().url).query))
    assert not set(asked.values()) & set(other.values())
    shown = repr(begun)
    assert not any(value in shown for value in asked.values())


def test_an_endpoint_may_have_a_query_already(provider: Any) -> None:
    provider.metadata["authorization_endpoint"] = f"{provider.issuer}/auth?tenant=1"
    assert provider.sign_in().begin().url.startswith(f"{provider.issuer}/auth?tenant=1&response_type=code&")


def test_who_comes_back_is_known_by_issuer_and_subject(provider: Any) -> None:
    finished = provider.walk(provider.sign_in(), "/console/clients")
    assert finished.next == "/console/clients"
    identity = finished.identity
    assert (identity.issuer, identity.subject) == (provider.issuer, "248289761001")
    assert (identity.email, identity.email_verified, identity.name) == ("mary@example.com", False, "Mary")
    assert identity.role is Role.ADMIN
    assert "/userinfo" not in provider.asked  # the ID token said it all


def test_what_the_id_token_lacks_userinfo_tells(provider: Any) -> None:
    provider.claims = {"email": "Mary@Example.com", "email_verified": True}
    provider.userinfo = {"roles": "viewers", "name": "Mary", "email": "other@example.com", "iss": "evil"}
    identity = provider.walk(provider.sign_in()).identity
    assert (identity.role, identity.name, identity.email) == (Role.VIEWER, "Mary", "mary@example.com")
    assert (identity.issuer, identity.email_verified) == (provider.issuer, True)
    token_request, userinfo_request = provider.its.requests[-2:]
    assert b"\r\nAuthorization: Bearer an access token\r\n" in userinfo_request
    assert b"\r\nAuthorization" not in token_request


def test_a_provider_without_userinfo_must_say_it_in_the_id_token(provider: Any) -> None:
    provider.metadata["userinfo_endpoint"] = None
    provider.claims = {"email": "mary@example.com", "roles": "operators"}
    identity = provider.walk(provider.sign_in()).identity
    assert (identity.role, identity.name) == (Role.OPERATOR, "mary@example.com")


@pytest.mark.parametrize("email", [None, "", "no address", "a@b\u202e", 7, f"{'a' * 300}@example.com"])
def test_without_an_email_address_there_is_no_account(provider: Any, email: object) -> None:
    provider.claims["email"] = email
    assert refused(provider).code == "oidc_no_email"


def test_names_are_made_fit_to_be_shown(provider: Any) -> None:
    provider.claims["name"] = " Mary\n\u202eroot\x1b[31m " + "x" * 200
    name = provider.walk(provider.sign_in()).identity.name
    assert name.isprintable()
    assert len(name) <= 120
    assert name.startswith("Mary root")


@pytest.mark.parametrize(
    ("methods", "way"),
    [
        (["client_secret_post", "client_secret_basic"], "basic"),
        (["client_secret_post", "private_key_jwt"], "post"),
        (None, "basic"),  # absent means client_secret_basic (OpenID Connect Discovery 3)
        (["private_key_jwt"], ""),
    ],
)
def test_the_client_proves_itself_as_the_provider_takes_it(
    provider: Any, tmp_path: Path, methods: list[str] | None, way: str
) -> None:
    provider.metadata["token_endpoint_auth_methods_supported"] = methods
    file = tmp_path / "secret"
    file.write_text("s e:cret%\n")
    its = provider.sign_in(oidc_client_secret_file=str(file))
    if not way:
        assert refused(provider, its).code == "oidc_misconfigured"
        return
    provider.walk(its)
    (request,) = [each for each in provider.its.requests if each.startswith(b"POST /token ")]
    head, _, body = request.partition(b"\r\n\r\n")
    form = dict(parse_qsl(body.decode()))
    basic = base64.b64encode(b"authsec:s+e%3Acret%25").decode()
    assert (f"Authorization: Basic {basic}".encode() in head) == (way == "basic")
    assert form.get("client_secret") == ("s e:cret%" if way == "post" else None)


def test_the_secret_is_read_anew_and_never_told(provider: Any, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("first")
    its = provider.sign_in(oidc_client_secret_file=str(file))
    file.write_text("second\n")
    provider.walk(its)
    assert base64.b64encode(b"authsec:second") in provider.its.requests[-2] + provider.its.requests[-1]
    file.unlink()
    gone = refused(provider, its)
    assert gone.code == "oidc_misconfigured"
    assert "second" not in gone.note


def test_every_key_type_and_its_at_hash(provider: Any) -> None:
    keys = {"rsa": provider.keys["one"], "ec": PrivateKey.generate_ec(), "ed": PrivateKey.generate_ed25519()}
    provider.keys = keys
    for kid, digest in (("rsa", sha256), ("ec", sha256), ("ed", sha512)):
        whole = digest(provider.access_token.encode()).digest()
        provider.signer = kid
        provider.claims["at_hash"] = base64.urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=").decode()
        assert provider.walk(provider.sign_in()).identity.role is Role.ADMIN


LIES: list[tuple[str, dict[str, Any]]] = [
    ("another audience", {"aud": "other"}),
    ("not an audience", {"aud": None}),
    ("an empty list", {"aud": []}),
    ("an audience inside another", {"aud": [["authsec"]]}),
    ("several audiences and no azp", {"aud": ["authsec", "other"]}),
    ("made for another party", {"aud": ["authsec", "other"], "azp": "other"}),
    ("another azp", {"azp": "other"}),
    ("expired", {"exp": 1_795_607_940}),
    ("no end", {"exp": None}),
    ("an end in words", {"exp": "tomorrow"}),
    ("true as an end", {"exp": True}),
    ("no iat", {"iat": None}),
    ("from before the sign-in", {"iat": 1_795_607_000}),
    ("in the future", {"iat": 1_795_609_000}),
    ("not valid yet", {"nbf": 1_795_609_000}),
    ("no nonce", {"nonce": None}),
    ("another nonce", {"nonce": "A" * 43}),
    ("a nonce in a list", {"nonce": ["A"]}),
    ("no subject", {"sub": None}),
    ("an empty subject", {"sub": ""}),
    ("a long subject", {"sub": "x" * 256}),
    ("a subject beyond ASCII", {"sub": "mar\u00fd"}),
    ("a number as subject", {"sub": 248289761001}),
    ("another access token's hash", {"at_hash": "A" * 22}),
    ("at_hash that is none", {"at_hash": 0}),
]


@pytest.mark.parametrize("lie", [lie for _, lie in LIES], ids=[name for name, _ in LIES])
def test_every_claim_is_checked(provider: Any, lie: dict[str, Any]) -> None:
    its = provider.sign_in()
    provider.walk(its)
    provider.claims |= lie
    said = refused(provider, its)
    assert said.code == "oidc_token_invalid"
    assert said.note.startswith("the ID token was refused: ")


@pytest.mark.parametrize(
    "truth", [{"aud": ["authsec"]}, {"aud": ["authsec", "other"], "azp": "authsec"}, {"azp": "authsec"}]
)
def test_what_the_standard_allows_is_allowed(provider: Any, truth: dict[str, Any]) -> None:
    provider.claims |= truth
    provider.walk(provider.sign_in())


def test_clocks_may_differ_by_a_minute(provider: Any) -> None:
    its = provider.sign_in()
    seconds = int(provider.now.timestamp())
    for iat, exp, passes in ((59, 300, True), (-59, -59, True), (62, 300, False), (-62, 300, False), (0, -61, False)):
        provider.claims |= {"iat": seconds + iat, "exp": seconds + exp}
        if passes:
            provider.walk(its)
        else:
            assert refused(provider, its).code == "oidc_token_invalid"


def test_a_rotated_key_is_found_once_a_minute(provider: Any) -> None:
    its = provider.sign_in()
    provider.walk(its)
    provider.keys = {"two": PrivateKey.generate_ed25519()}
    provider.signer = "two"
    assert refused(provider, its).code == "oidc_token_invalid"  # keys are a moment old: nobody makes us look again
    provider.wait(seconds=UNKNOWN_KEY_PAUSE)
    assert provider.walk(its).identity.role is Role.ADMIN
    assert provider.asked.count("/jwks") == 2


def test_invented_keys_do_not_make_us_ask_again_and_again(provider: Any) -> None:
    its = provider.sign_in()
    for number in range(5):
        provider.header["kid"] = f"invented-{number}"
        assert refused(provider, its).code == "oidc_token_invalid"
    assert provider.asked.count("/jwks") == 1
    assert provider.asked.count("/.well-known/openid-configuration") == 1


@pytest.mark.soak
@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"response_types_supported": ["id_token"]},
        {"response_types_supported": None},
        {"code_challenge_methods_supported": ["plain"]},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://idp.example/auth"},
        {"token_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"userinfo_endpoint": 7},
    ],
)
def test_a_description_that_does_not_fit_stops_at_once(provider: Any, change: dict[str, Any]) -> None:
    provider.metadata |= change
    with pytest.raises(SignInRefused) as raised:
        provider.sign_in().begin()
    assert raised.value.code == "oidc_misconfigured"
    assert not raised.value.retryable


def test_a_provider_that_is_away_is_not_asked_all_the_time(provider: Any, peers: Any) -> None:
    provider.answers["/.well-known/openid-configuration"] = peers.http(b"", status="503 Service Unavailable")
    its = provider.sign_in()
    for _ in range(3):
        with pytest.raises(SignInRefused) as raised:
            its.begin()
        assert raised.value.code == "oidc_unavailable"
        assert raised.value.retryable
    assert len(provider.asked) == 1
    provider.answers.clear()
    provider.wait(seconds=RETRY_PAUSE)
    provider.walk(its)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        ("400 Bad Request", {"error": "invalid_grant", "error_description": "<script>"}, "oidc_code_refused"),
        ("401 Unauthorized", {"error": "invalid_client"}, "oidc_client_refused"),
        ("400 Bad Request", {"error": "unauthorized_client"}, "oidc_client_refused"),
        ("400 Bad Request", {"error": ["x"]}, "oidc_code_refused"),
        ("403 Forbidden", {}, "oidc_code_refused"),
        ("502 Bad Gateway", {}, "oidc_unavailable"),
        ("429 Too Many Requests", {}, "oidc_unavailable"),
        ("200 OK", {"access_token": "x", "token_type": "Bearer"}, "oidc_token_invalid"),
        ("200 OK", {"access_token": "x", "token_type": "mac", "id_token": "y"}, "oidc_token_invalid"),
        ("200 OK", {"access_token": "x", "token_type": "Bearer", "id_token": "y.y"}, "oidc_token_invalid"),
    ],
)
def test_what_the_token_endpoint_may_answer(
    provider: Any, peers: Any, status: str, body: dict[str, Any], code: str
) -> None:
    provider.answers["/token"] = peers.http(json.dumps(body).encode(), status=status)
    said = refused(provider)
    assert said.code == code
    assert "<script>" not in said.note + said.message + said.remedy


@pytest.mark.parametrize("status", ["401 Unauthorized", "500 Internal Server Error"])
def test_userinfo_may_fail(provider: Any, peers: Any, status: str) -> None:
    provider.claims["name"] = None
    provider.answers["/userinfo"] = peers.http(b"{}", status=status)
    assert refused(provider).code == ("oidc_unavailable" if status.startswith("5") else "oidc_token_invalid")


def test_the_provider_may_decline(provider: Any) -> None:
    its = provider.sign_in()
    for error, code in (("access_denied", "oidc_declined"), ("login_required", "oidc_provider_error")):
        begun = its.begin()
        state = dict(provider.approve(begun.url))["state"]
        text = "<img src=x onerror=alert(1)>" * 50
        query = [("error", error), ("error_description", text), ("state", state)]
        with pytest.raises(SignInRefused) as raised:
            its.finish(begun.transaction, query)
        assert raised.value.code == code
        assert "<img" not in raised.value.message + raised.value.remedy + raised.value.note


def test_an_unknown_error_is_not_repeated_to_the_person(provider: Any) -> None:
    its = provider.sign_in()
    begun = its.begin()
    state = dict(provider.approve(begun.url))["state"]
    with pytest.raises(SignInRefused) as raised:
        its.finish(begun.transaction, [("error", "<b>\x1b" + "x" * 900), ("state", state)])
    assert raised.value.message == "The single sign-on provider did not complete the sign-in."
    assert raised.value.note.isprintable()
    assert len(raised.value.note) < 120


def test_an_incomplete_answer(provider: Any) -> None:
    assert refused(provider, code="").code == "oidc_answer_invalid"
    its = provider.sign_in()
    begun = its.begin()
    with pytest.raises(SignInRefused) as raised:
        its.finish(begun.transaction, provider.approve(begun.url) * 2)
    assert raised.value.code == "oidc_answer_invalid"


def test_a_sign_in_lasts_ten_minutes(provider: Any) -> None:
    its = provider.sign_in()
    for seconds, passes in ((600, True), (601, False)):
        begun = its.begin()
        provider.wait(seconds=seconds)
        query = provider.approve(begun.url)
        if passes:
            its.finish(begun.transaction, query)
        else:
            with pytest.raises(SignInRefused) as raised:
                its.finish(begun.transaction, query)
            assert raised.value.code == "oidc_expired"


@pytest.mark.parametrize("cookie", ["", "x", "W10", "e30", "\x00", "é" * 9, "A" * 100_000, "bnVsbA"])
def test_what_is_no_transaction_is_none(provider: Any, cookie: str) -> None:
    with pytest.raises(SignInRefused) as raised:
        provider.sign_in().finish(cookie, [("code", "x"), ("state", "")])
    assert raised.value.code == "oidc_not_begun"
    assert provider.asked == []


def test_only_so_many_at_once(provider: Any) -> None:
    its = provider.sign_in()
    for _ in range(AT_ONCE):
        its._places.acquire()
    with pytest.raises(SignInRefused) as raised:
        its.begin()
    assert (raised.value.code, raised.value.retryable) == ("oidc_busy", True)
    its._places.release()
    its.begin()
    its.begin()


ROLES = {Role.ADMIN: frozenset({"a"}), Role.OPERATOR: frozenset({"o", "a"}), Role.VIEWER: frozenset({"v"})}


@pytest.mark.parametrize(
    ("claim", "claims", "role"),
    [
        ("roles", {"roles": "a"}, Role.ADMIN),
        ("roles", {"roles": ["v", "o", "v"]}, Role.OPERATOR),
        ("roles", {"roles": ["v", 7, None, {"a": "a"}, ["a"]]}, Role.VIEWER),
        ("roles", {"roles": "a v"}, None),
        ("roles", {"roles": "a,v"}, None),
        ("roles", {"roles": {"a": True}}, None),
        ("roles", {"roles": True}, None),
        ("roles", {"groups": "a"}, None),
        ("realm_access.roles", {"realm_access": {"roles": ["a"]}}, Role.ADMIN),
        ("realm_access.roles", {"realm_access": ["roles"]}, None),
        ("realm_access.roles", {"realm_access": "a"}, None),
        ("https://app.example/roles", {"https://app.example/roles": ["v"]}, Role.VIEWER),
        ("a.b", {"a.b": "v", "a": {"b": "a"}}, Role.VIEWER),
    ],
)
def test_roles_by_claim(claim: str, claims: dict[str, Any], role: Role | None) -> None:
    assert RoleRule(claim=claim, values=ROLES).role(claims) is role


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["x", "A", "a ", "", "admin"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["roles", "a", "o", "v"]), inner),
)


@given(JSON)
def test_nothing_but_a_value_to_the_letter_gives_a_role(value: Any) -> None:
    assert RoleRule(claim="roles", values=ROLES).role({"roles": value}) is None
    assert RoleRule(claim="roles", values={}).role({"roles": ["a", "o", "v"]}) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"oidc_client_id": ""},
        {"oidc_admin_values": "", "oidc_operator_values": " , ", "oidc_viewer_values": ""},
        {"oidc_scopes": "email profile"},
        {"oidc_issuer": "http://idp.example"},
        {"oidc_issuer": "idp.example"},
        {"oidc_client_secret_file": "/nowhere/secret"},
        {"oidc_role_claim": ""},
    ],
)
def test_settings_that_let_nobody_in_or_anybody_stop_the_start(provider: Any, wrong: dict[str, str]) -> None:
    with pytest.raises(StartupRefused, match="AUTHSEC_SERVER_OIDC_"):
        provider.sign_in(**wrong)


def test_without_an_issuer_there_is_no_sign_in() -> None:
    from authsec_server.outbound import outbound_of

    its = load_settings(oidc_issuer="")
    made = sign_in_of(its, outbound_of(its, lambda: 0.0), now=lambda: None, monotonic=lambda: 0.0, token_bytes=bytes)  # type: ignore[arg-type, return-value] # never asked
    assert made is None


def test_every_refusal_has_a_sentence_and_fits_the_audit_log() -> None:
    for code in OpenIdRefusal:
        message, remedy = _WORDS[code]
        assert message.endswith(".")
        assert remedy.endswith(".")
        assert len(code) <= 21
