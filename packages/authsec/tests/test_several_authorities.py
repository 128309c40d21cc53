"""An API that takes tokens of two authorities: by one verifier for both, or by two gates one behind the other."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from authsec import ConfigError, KeysUnavailable, SeveralAuthorities, TokenVerifier
from authsec.asgi import BearerAuth, agent_of
from authsec.mcp import protected_by
from authsec.wsgi import BearerAuth as WsgiBearerAuth
from authsec.wsgi import identity_of

from .fake_keys import AUDIENCE, ISSUER, METADATA, UNFOLLOWED, FakeClock, jwk_of, key_set, rsa_key, serving, token
from .speaking_asgi import call

OTHER = "https://authsec.example.org"
FOREIGN = "https://users.example.com"
OTHERS_KEYS = {"keys": [jwk_of(rsa_key("other"), "current")]}  # both call their key the same


def verifier_for(issuer: str, **settings: Any) -> TokenVerifier:
    keys = key_set() if issuer == ISSUER else OTHERS_KEYS
    given = {"audience": AUDIENCE, "keys": keys, "clock": FakeClock().clock(), **UNFOLLOWED, **settings}
    return TokenVerifier(issuer, **given)


def token_of(issuer: str, **changes: Any) -> str:
    return token(rsa_key("current" if issuer == ISSUER else "other"), iss=issuer, **changes)


def test_each_token_is_for_the_authority_that_it_names() -> None:
    clock = FakeClock()
    with serving() as ours, serving() as theirs:
        both = SeveralAuthorities(ours.verifier(clock), theirs.verifier(clock))
        assert both.verify(ours.token()).issuer == ours.url
        assert theirs.asked == []
        assert asyncio.run(both.averify(theirs.token())).issuer == theirs.url
        both.check_ready()
        assert {issuer: health.keys.failure for issuer, health in both.health().items()} == {
            ours.url: None,
            theirs.url: None,
        }
        both.close()


def test_one_that_is_away_takes_nothing_from_the_other() -> None:
    clock = FakeClock()
    with serving() as ours, serving() as away:
        away.pages.pop(METADATA)
        both = SeveralAuthorities(away.verifier(clock), ours.verifier(clock))
        with pytest.raises(KeysUnavailable, match=away.url):
            both.verify(away.token())
        assert both.verify(ours.token())
        with pytest.raises(KeysUnavailable, match=away.url):
            both.check_ready()
        health = both.health()
        assert (health[ours.url].keys.failure, health[away.url].keys.failure is None) == (None, False)


def test_it_stands_at_any_door() -> None:
    both = SeveralAuthorities(verifier_for(ISSUER), verifier_for(OTHER))

    def show(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(identity_of(environ).issuer).encode()]

    app = WsgiBearerAuth(show, verifier=both)

    def get(path: str, bearer: str) -> tuple[str, Any]:
        status: list[str] = []
        environ = {"PATH_INFO": path, "HTTP_AUTHORIZATION": f"Bearer {bearer}"}
        body = b"".join(app(environ, lambda said, *_: status.append(said)))
        return status[0], json.loads(body)

    for issuer in (ISSUER, OTHER):
        assert get("/", token_of(issuer)) == ("200 OK", issuer)
    status, refused = get("/", token_of(FOREIGN))
    assert (status, refused["reason"]) == ("401 Unauthorized", "issuer_mismatch")
    assert ISSUER in refused["details"]
    assert OTHER in refused["details"]
    metadata = get("/.well-known/oauth-protected-resource", "-")[1]
    assert metadata["authorization_servers"] == [ISSUER, OTHER]


def test_an_mcp_server_takes_both_and_names_the_first() -> None:
    settings = protected_by(SeveralAuthorities(verifier_for(OTHER), verifier_for(ISSUER)))
    assert str(settings["auth"].issuer_url).removesuffix("/") == OTHER
    for issuer in (ISSUER, OTHER):
        assert asyncio.run(settings["token_verifier"].verify_token(token_of(issuer))).identity.issuer == issuer
    assert asyncio.run(settings["token_verifier"].verify_token(token_of(FOREIGN))) is None


async def who(scope: Any, receive: Any, send: Any) -> None:
    agent = agent_of(scope)
    body = json.dumps(None if agent is None else agent.issuer).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_of_two_gates_neither_forgets_whom_the_other_has_verified() -> None:
    inner = BearerAuth(who, verifier=verifier_for(OTHER), other_issuers="pass")
    both = BearerAuth(inner, verifier=verifier_for(ISSUER), other_issuers="pass")
    for issuer, noted in ((ISSUER, ISSUER), (OTHER, OTHER), (FOREIGN, None)):
        assert call(both, "/", f"Bearer {token_of(issuer)}").body == noted
    assert call(both, "/").body is None


def test_a_gate_of_another_api_does() -> None:
    """It would be an agent that was let in elsewhere."""
    inner = BearerAuth(who, verifier=verifier_for(OTHER, audience="https://billing.example.com"), other_issuers="pass")
    both = BearerAuth(inner, verifier=verifier_for(ISSUER), other_issuers="pass")
    assert call(both, "/", f"Bearer {token_of(ISSUER)}").body is None


def test_verifiers_that_would_be_mixed_up() -> None:
    credentials = {"credential": "authsec_api_" + "c" * 43}
    for verifiers, reason in (
        ([], "verifier_missing"),
        ([[verifier_for(ISSUER)]], "verifier_missing"),
        ([verifier_for(ISSUER), verifier_for(OTHER), verifier_for(ISSUER)], "issuer_repeated"),
        ([verifier_for(ISSUER), verifier_for(OTHER, audience="https://billing.example.com")], "audiences_differ"),
        ([verifier_for(ISSUER, **credentials), verifier_for(OTHER, **credentials)], "credential_shared"),
    ):
        with pytest.raises(ConfigError) as refused:
            SeveralAuthorities(*verifiers)
        assert refused.value.reason == reason
        assert credentials["credential"] not in str(refused.value) + repr(verifiers)
    several = SeveralAuthorities(verifier_for(ISSUER, **credentials), verifier_for(OTHER))
    assert repr(several) == f"SeveralAuthorities(issuers={(ISSUER, OTHER)!r}, audience={AUDIENCE!r})"
