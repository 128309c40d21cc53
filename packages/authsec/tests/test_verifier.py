from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from authsec import ConfigError, InsufficientScope, InvalidToken, TokenVerifier, VerifiedToken
from authsec.clock import Clock
from authsec.verifier.checks import CLAIM_CHECKS, CLAIM_TYPES, HEADER_CHECKS, VALIDITY_CHECKS
from hypothesis import given
from hypothesis import strategies as st

from .fake_keys import (
    AUDIENCE,
    ISSUER,
    NOW,
    UNFOLLOWED,
    FakeClock,
    claims,
    jwk_of,
    key_set,
    raw_token,
    reason_of,
    rsa_key,
    token,
    verifier_of,
)


def test_a_good_token_says_who_and_what() -> None:
    identity = verifier_of().verify(token())
    assert identity.agent == "spiffe://example.com/agent/3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88"
    assert identity.client_id == "3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88"
    assert identity.permissions == {"customers:read", "tickets:write"}
    assert identity.delegations == ("d1",)
    assert identity.roles == ("support",)
    assert (identity.attestation.method, identity.attestation.selectors) == ("kubernetes", ("k8s:ns", "k8s:sa"))
    assert identity.audience == (AUDIENCE,)
    assert identity.jti == "0192f0c1"
    assert identity.expires_at == datetime.fromtimestamp(NOW + 600, UTC)
    assert identity.authority_version == 7
    assert identity.claims["agent_type"] == "AutoGen AI agent"


def test_the_identity_holds_no_token_and_cannot_be_changed() -> None:
    bearer = token()
    identity = verifier_of().verify(bearer)
    for part in bearer.split("."):
        assert part not in repr(identity)
        assert part not in repr(identity.claims)
    with pytest.raises(TypeError):
        identity.claims["scope"] = "everything:delete"  # this is the point
    with pytest.raises(AttributeError):
        identity.permissions = frozenset({"everything:delete"})  # this is the point


def test_how_a_clusters_token_was_checked_is_said_where_it_was_one() -> None:
    asked = {"method": "kubernetes", "selectors": ["k8s:ns"], "validation": "token_review"}
    assert verifier_of().verify(token(attestation=asked)).attestation.validation == "token_review"
    assert verifier_of().verify(token()).attestation.validation == ""


def test_averify_does_the_same() -> None:
    assert asyncio.run(verifier_of().averify(token())) == verifier_of().verify(token())
    with pytest.raises(InvalidToken):
        asyncio.run(verifier_of().averify(token(rsa_key("other"))))


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("issuer_mismatch", {"iss": ISSUER + "/"}),
    ("issuer_mismatch", {"iss": ISSUER.upper()}),
    ("audience_mismatch", {"aud": "https://other.example.com"}),
    ("audience_mismatch", {"aud": [AUDIENCE + "/"]}),
    ("token_expired", {"exp": NOW - 30}),
    ("token_not_yet_valid", {"nbf": NOW + 31}),
    ("token_not_yet_valid", {"iat": NOW + 31}),
    ("binding_not_supported", {"cnf": {"jkt": "abc"}}),
    ("scope_mismatch", {"scope": "customers:read"}),
    ("scope_mismatch", {"scope": ""}),
    ("scope_mismatch", {"scope": "customers:read  tickets:write"}),
    ("scope_mismatch", {"permissions": []}),
    ("scope_mismatch", {"permissions": ["customers:read", "tickets:write", "customers:delete"]}),
]


@pytest.mark.parametrize(("reason", "changes"), REFUSED)
def test_claims_that_are_refused(reason: str, changes: dict[str, Any]) -> None:
    assert reason_of(verifier_of(), token(**changes)) == reason


def test_tokens_for_another_api_are_told_of_on_both_sides(caplog: pytest.LogCaptureFixture) -> None:
    """The caller hears which API its token is for; the operator too, once a minute. Only if the authority signed it."""
    clock = FakeClock()
    verifier = verifier_of(clock=clock.clock())
    elsewhere = token(aud=["https://tickets.example.com", "mail\n2026 ERROR forged"])
    for wait in (0, 59, 1):
        clock.pass_by(wait)
        with pytest.raises(InvalidToken) as refused:
            verifier.verify(elsewhere)
    assert refused.value.details == (
        f"Request a token for this API: resource={AUDIENCE}. "
        "This one is for https://tickets.example.com, mail 2026 ERROR forged."
    )
    for foreign in (
        token(rsa_key("other"), aud="https://a.example"),
        token(iss="https://b.example", aud="https://a.example"),
    ):
        reason_of(verifier, foreign)
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("tokens for another")]
    assert len(said) == 2
    assert all(
        f"this API is {AUDIENCE}, the last token was for https://tickets.example.com, mail 2026" in line
        for line in said
    )


ACCEPTED: list[dict[str, Any]] = [
    {"aud": AUDIENCE},
    {"aud": ["https://other.example.com", AUDIENCE]},
    {"exp": NOW - 29},
    {"nbf": NOW + 30, "iat": NOW + 30},
    {"scope": "tickets:write customers:read"},
    {"scope": "", "permissions": []},
    {"roles": []},
    {"authority_version": 0},
    {"attestation": {"method": "none"}},
    {"something_new": {"of": "a later version"}},
]


@pytest.mark.parametrize("changes", ACCEPTED)
def test_claims_that_are_accepted(changes: dict[str, Any]) -> None:
    assert isinstance(verifier_of().verify(token(**changes)), VerifiedToken)


WRONG: dict[str, list[object]] = {
    "iss": ["", 7, [ISSUER]],
    "aud": ["", [], [""], [AUDIENCE, 7], {"a": 1}, 7],
    "exp": [str(NOW + 600), NOW + 600.0, True, [NOW + 600], -1, 2**53 - 1],
    "nbf": [str(NOW), NOW + 0.0, False],
    "iat": [str(NOW), NOW + 0.0, True],
    "sub": ["", 7, "agent", "https://example.com"],
    "client_id": ["", 7],
    "jti": ["", 7],
    "scope": [["customers:read", "tickets:write"], 7],
    "permissions": [
        "customers:read",
        [7],
        ["customers:*"],
        ["Customers:Read"],
        ["customers"],
        {"customers:read": True},
    ],
    "roles": ["support", [7], [""]],
    "delegation_ids": [[], [""], "d1", [7]],
    "authority_version": ["7", 7.0, True, -1],
    "attestation": [
        *({}, "none", [], {"method": ""}, {"method": 7}, {"method": "x", "selectors": "k8s:ns"}),
        *({"method": "x", "enrolled": "yes"}, {"method": "x", "validation": True}),
    ],
}


@pytest.mark.parametrize("name", WRONG)
def test_every_claim_is_required_and_has_its_type(name: str) -> None:
    for value in [None, *WRONG[name]]:
        with pytest.raises(InvalidToken, match=f"claim {name} is missing or") as caught:
            verifier_of().verify(token(**{name: value}))
        assert caught.value.reason == "claim_invalid"


def test_the_table_above_is_complete() -> None:
    assert {each.claim for each in CLAIM_TYPES} == set(WRONG) == set(claims()) - {"agent_type"}


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "application/AT+JWT"])
def test_typ_is_compared_without_case(typ: str) -> None:
    assert verifier_of().verify(token(header={"typ": typ}))


@pytest.mark.parametrize(
    ("reason", "header"),
    [
        ("typ_not_allowed", {"typ": "JWT"}),
        ("typ_not_allowed", {"typ": ""}),
        ("typ_not_allowed", {"typ": "application/jwt"}),
        ("kid_missing", {"kid": ""}),
        ("kid_unknown", {"kid": "another"}),
        ("token_malformed", {"kid": None}),
        ("header_not_allowed", {"crit": ["exp"]}),
        ("header_not_allowed", {"jwk": {}}),
    ],
)
def test_headers_that_are_refused(reason: str, header: dict[str, Any]) -> None:
    assert reason_of(verifier_of(), token(header=header)) == reason


def test_a_header_is_refused_before_a_key_is_looked_for() -> None:
    for header in (b'{"alg":"RS384","typ":"at+jwt","kid":"another"}', b'{"alg":"RS256","typ":"JWT","kid":"another"}'):
        assert reason_of(verifier_of(), raw_token(header, b"{}")) in {"alg_not_allowed", "typ_not_allowed"}


def test_what_is_no_token_at_all() -> None:
    assert reason_of(verifier_of(), "") == "token_malformed"
    assert reason_of(verifier_of(), "Bearer " + token()) == "token_malformed"
    assert reason_of(verifier_of(), token() + "\n") == "token_malformed"
    assert reason_of(verifier_of(max_bytes=100), token()) == "token_too_large"
    assert reason_of(verifier_of(), token(rsa_key("other"))) == "signature_invalid"


def test_leeway_is_the_reach_of_every_comparison_with_the_clock() -> None:
    strict = verifier_of(leeway=0)
    assert strict.verify(token(exp=NOW + 1, nbf=NOW, iat=NOW))
    assert reason_of(strict, token(exp=NOW)) == "token_expired"
    assert reason_of(strict, token(nbf=NOW + 1)) == "token_not_yet_valid"
    assert reason_of(verifier_of(leeway=300), token(exp=NOW - 300)) == "token_expired"


@given(st.integers(-400, 400), st.integers(0, 300))
def test_a_token_is_never_accepted_after_its_end_and_the_leeway(late: int, leeway: int) -> None:
    verifier, bearer = verifier_of(leeway=leeway), ended(late)
    if late >= leeway:
        assert reason_of(verifier, bearer) == "token_expired"
    else:
        assert verifier.verify(bearer)


@cache
def ended(late: int) -> str:
    return token(exp=NOW - late, nbf=NOW - 1000, iat=NOW - 1000)


def test_expectations_that_protect_nothing_are_refused() -> None:
    keys = key_set()
    cases: list[tuple[str, dict[str, Any]]] = [
        ("audience_missing", {"audience": ""}),
        ("audience_missing", {"audience": " "}),
        ("audience_missing", {"audience": None}),
        ("audience_missing", {"audience": [AUDIENCE]}),
        ("issuer_missing", {"issuer": ""}),
        ("issuer_missing", {"issuer": None}),
        ("leeway_invalid", {"leeway": -1}),
        ("leeway_invalid", {"leeway": 301}),
        ("algorithms_missing", {"algorithms": ()}),
        ("keys_invalid", {"keys": {}}),
        ("keys_invalid", {"keys": {"keys": []}}),
        ("keys_invalid", {"keys": {"keys": {"kid": "current"}}}),
        ("keys_invalid", {"keys": {"keys": [jwk_of(rsa_key(), "current", use="enc")]}}),
        ("keys_invalid", {"keys": "/nowhere/jwks.json"}),
    ]
    for reason, settings in cases:
        with pytest.raises(ConfigError) as caught:
            TokenVerifier(**{"issuer": ISSUER, "audience": AUDIENCE, "keys": keys, **settings})
        assert caught.value.reason == reason, settings
    with pytest.raises(TypeError, match="audience"):
        TokenVerifier(ISSUER)  # there is no default audience


@pytest.mark.parametrize("text", ['{"keys": [], "keys": []}', "[]", "nonsense"])
def test_a_key_file_that_is_no_key_set(text: str, tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(text)
    with pytest.raises(ConfigError):
        TokenVerifier(ISSUER, AUDIENCE, keys=tmp_path / "jwks.json")


def test_keys_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(key_set()))
    for keys in (path, str(path)):
        assert TokenVerifier(ISSUER, AUDIENCE, keys=keys, clock=FakeClock().clock(), **UNFOLLOWED).verify(token())


def test_the_clock_is_the_real_one_unless_given() -> None:
    verifier = TokenVerifier(ISSUER, AUDIENCE, keys=key_set(), **UNFOLLOWED)
    now = int(Clock().wall())
    assert verifier.verify(token(exp=now + 60, nbf=now, iat=now))
    assert reason_of(verifier, token(exp=now - 60, nbf=now - 90, iat=now - 90)) == "token_expired"


def test_require() -> None:
    identity = verifier_of().verify(token())
    identity.require("customers:read")
    identity.require("customers:read", "tickets:write")
    with pytest.raises(InsufficientScope) as caught:
        identity.require("customers:read", "customers:delete")
    assert caught.value.required == ("customers:read", "customers:delete")
    assert caught.value.missing == ("customers:delete",)
    assert caught.value.granted == ("customers:read", "tickets:write")
    assert str(caught.value) == (
        "This agent's token does not allow customers:delete. The token allows customers:read, tickets:write."
    )
    assert not caught.value.retryable


def test_require_any() -> None:
    identity = verifier_of().verify(token())
    identity.require_any("customers:delete", "customers:read")
    with pytest.raises(InsufficientScope, match="customers:delete or tickets:close"):
        identity.require_any("customers:delete", "tickets:close")
    nobody = verifier_of().verify(token(scope="", permissions=[]))
    with pytest.raises(InsufficientScope, match="The token allows nothing"):
        nobody.require_any("customers:read")


@pytest.mark.parametrize("actions", [(), ("customers",), ("customers:*",), ("customers:read tickets:write",), ("",)])
def test_requiring_nothing_or_nonsense_is_a_mistake_in_the_program(actions: tuple[str, ...]) -> None:
    identity = verifier_of().verify(token())
    for require in (identity.require, identity.require_any):
        with pytest.raises(ValueError, match="action"):
            require(*actions)


@given(st.sets(st.sampled_from(["a:a", "a:b", "b:a"])), st.lists(st.sampled_from(["a:a", "a:b", "b:a"]), min_size=1))
def test_require_lets_nothing_pass_that_is_not_carried(carried: set[str], needed: list[str]) -> None:
    identity = carrying(frozenset(carried))
    assert passes(identity.require, needed) == (set(needed) <= carried)
    assert passes(identity.require_any, needed) == bool(set(needed) & carried)


@cache
def carrying(actions: frozenset[str]) -> VerifiedToken:
    return verifier_of().verify(token(scope=" ".join(sorted(actions)), permissions=sorted(actions)))


def passes(require: Any, actions: list[str]) -> bool:
    try:
        require(*actions)
    except InsufficientScope:
        return False
    return True


def test_a_refusal_tells_its_reader_what_would_do_and_of_the_token_only_which_api_it_is_for() -> None:
    with pytest.raises(InvalidToken) as caught:
        verifier_of().verify(token(aud="https://tickets.example.com", jti="hush"))
    assert str(caught.value) == "The token is meant for another API."
    assert (
        caught.value.details
        == f"Request a token for this API: resource={AUDIENCE}. This one is for https://tickets.example.com."
    )
    assert caught.value.status == 401
    for changes in ({"iss": "https://hush"}, {"jti": 7, "hush": 1}, {"scope": "hush"}, {"attestation": {"hush": 1}}):
        with pytest.raises(InvalidToken) as caught:
            verifier_of().verify(token(**changes))
        assert "hush" not in str(caught.value) + caught.value.details


def test_braces_in_our_own_names_are_only_text() -> None:
    clock = FakeClock().clock()
    verifier = TokenVerifier("https://{audience}", "{issuer}", keys=key_set(), clock=clock, **UNFOLLOWED)
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token(iss="https://{audience}"))
    assert caught.value.details == f"Request a token for this API: resource={{issuer}}. This one is for {AUDIENCE}."


def test_every_check_names_its_source() -> None:
    sources = [check.source for check in (*HEADER_CHECKS, *CLAIM_TYPES, *CLAIM_CHECKS, *VALIDITY_CHECKS)]
    assert all(source.startswith(("RFC ", "AuthSec")) for source in sources)
    failures = [check.failure for check in (*HEADER_CHECKS, *CLAIM_CHECKS, *VALIDITY_CHECKS)]
    assert len(failures) == len(set(failures))


def test_the_verifier_says_what_it_expects() -> None:
    assert repr(verifier_of()) == f"TokenVerifier(issuer='{ISSUER}', audience='{AUDIENCE}')"
