"""An ID token that was good once is served again: for another sign-in, another person, another application."""

from __future__ import annotations

import json
from typing import Any

import pytest
from authsec_server.accounts.oidc import SignInRefused


def serve(provider: Any, peers: Any, token: str) -> None:
    body = {"id_token": token, "access_token": provider.access_token, "token_type": "Bearer"}
    provider.answers["/token"] = peers.http(json.dumps(body).encode())


def replayed(provider: Any) -> SignInRefused:
    with pytest.raises(SignInRefused) as refused:
        provider.walk(provider.sign_in())
    return refused.value


def test_the_nonce_of_another_sign_in(provider: Any, peers: Any) -> None:
    serve(provider, peers, provider.id_token("A" * 43))
    refused = replayed(provider)
    assert refused.code == "oidc_token_invalid"
    assert "nonce" in refused.note


def test_a_token_of_another_application(provider: Any, peers: Any) -> None:
    provider.claims["aud"] = "wiki"
    refused = replayed(provider)
    assert refused.code == "oidc_token_invalid"
    assert "aud" in refused.note


def test_other_tokens_of_the_provider_are_no_id_tokens(provider: Any) -> None:
    for kind in ("at+jwt", "logout+jwt", "application/at+jwt"):
        provider.header["typ"] = kind
        assert replayed(provider).code == "oidc_token_invalid"
    provider.header["typ"] = "jwt"
    provider.walk(provider.sign_in())


def test_userinfo_of_another_person(provider: Any) -> None:
    """The claims that give a role must be of the person whom the ID token names (token substitution)."""
    provider.claims = {"email": "mallory@example.com", "name": "Mallory"}
    provider.userinfo = {"sub": "the administrator", "roles": "admins"}
    refused = replayed(provider)
    assert refused.code == "oidc_token_invalid"
    assert "different subjects" in refused.note
