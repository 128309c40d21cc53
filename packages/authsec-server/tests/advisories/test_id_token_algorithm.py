"""The token chooses how it is verified: `none` is not at all, HS256 is with the public key as the secret.

Or it brings its own key, names a key set elsewhere, or borrows another key's name.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.accounts.oidc import SignInRefused


def part(value: dict[str, Any]) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def forged(provider: Any, header: dict[str, Any], secret: bytes | None = None) -> Any:
    """An ID token with every claim right; signed with HMAC or not at all."""

    def make(nonce: str) -> str:
        seconds = int(provider.now.timestamp())
        claims = {
            "iss": provider.issuer,
            "sub": "1",
            "aud": "authsec",
            "iat": seconds,
            "exp": seconds + 60,
            "nonce": nonce,
        }
        unsigned = part({"kid": "one"} | header) + b"." + part(claims | provider.claims)
        signature = hmac.new(secret, unsigned, hashlib.sha256).digest() if secret is not None else b""
        return (unsigned + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()

    return make


def refused(provider: Any) -> SignInRefused:
    with pytest.raises(SignInRefused) as raised:
        provider.walk(provider.sign_in())
    return raised.value


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_unsigned(provider: Any, alg: str) -> None:
    provider.id_token = forged(provider, {"alg": alg})
    assert refused(provider).code == "oidc_token_invalid"
    provider.id_token = forged(provider, {"alg": alg}, b"x")
    assert refused(provider).code == "oidc_token_invalid"


@pytest.mark.parametrize("announced", [False, True])
def test_signed_with_the_public_key_as_a_secret(provider: Any, announced: bool) -> None:
    if announced:  # what the provider says it supports does not count
        provider.metadata["id_token_signing_alg_values_supported"] = ["HS256", "none"]
    public = provider.keys["one"].public
    for secret in (public.to_pem(), public.to_pem().strip(), json.dumps(public.to_jwk()).encode(), b""):
        provider.id_token = forged(provider, {"alg": "HS256"}, secret)
        assert refused(provider).code == "oidc_token_invalid"


def test_signed_with_the_client_secret(provider: Any, tmp_path: Any) -> None:
    """HS256 with the client secret is standard for confidential clients, and not taken here: it is not a public key."""
    file = tmp_path / "secret"
    file.write_text("a client secret")
    provider.id_token = forged(provider, {"alg": "HS256"}, b"a client secret")
    with pytest.raises(SignInRefused) as raised:
        provider.walk(provider.sign_in(oidc_client_secret_file=str(file)))
    assert raised.value.code == "oidc_token_invalid"


def test_a_symmetric_key_in_the_published_set_is_none(provider: Any) -> None:
    """A provider that publishes an `oct` key by mistake has not made everybody an administrator."""
    real = provider.jwks
    provider.jwks = lambda: {
        "keys": [{"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"}, *real()["keys"]]
    }
    provider.id_token = forged(provider, {"alg": "HS256", "kid": "shared"}, b"secret")
    assert refused(provider).code == "oidc_token_invalid"


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_a_token_that_brings_its_key(provider: Any, name: str) -> None:
    evil = PrivateKey.generate_ed25519()
    brought = evil.public.to_jwk() if name == "jwk" else f"{provider.issuer}/jwks"
    provider.header = {name: brought}
    assert refused(provider).code == "oidc_token_invalid"


def test_a_key_of_somebody_under_the_providers_name(provider: Any) -> None:
    published = provider.jwks()
    provider.jwks = lambda: published
    provider.keys = {"one": PrivateKey.generate_rsa()}
    assert refused(provider).code == "oidc_token_invalid"


@pytest.mark.parametrize("kid", [None, "", "unknown"])
def test_a_token_that_does_not_say_which_key(provider: Any, kid: str | None) -> None:
    provider.header = {"kid": kid}
    assert refused(provider).code == "oidc_token_invalid"
