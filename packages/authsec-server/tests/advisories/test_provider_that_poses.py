"""A provider, or whoever holds its host for a while, describes itself as another, or signs in another's name."""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts.oidc import SignInRefused


@pytest.mark.parametrize("ending", ["/", "/tenant", "?", "."])
def test_the_description_must_be_the_issuers_to_the_letter(provider: Any, ending: str) -> None:
    provider.metadata["issuer"] = provider.issuer + ending
    with pytest.raises(SignInRefused) as refused:
        provider.sign_in().begin()
    assert refused.value.code == "oidc_misconfigured"
    assert provider.issuer in refused.value.note


@pytest.mark.parametrize("issuer", ["https://accounts.example", "", None, ["{issuer}"], "{issuer}/"])
def test_so_must_the_id_tokens(provider: Any, issuer: Any) -> None:
    provider.claims["iss"] = issuer.format(issuer=provider.issuer) if isinstance(issuer, str) else issuer
    with pytest.raises(SignInRefused) as refused:
        provider.walk(provider.sign_in())
    assert refused.value.code == "oidc_token_invalid"


def test_an_endpoint_in_a_private_network_is_not_asked(provider: Any) -> None:
    """The description comes from outside: its URLs must not lead to the cloud's metadata (SSRF)."""
    provider.metadata |= {"token_endpoint": "https://169.254.169.254/token"}
    with pytest.raises(SignInRefused) as refused:
        provider.walk(provider.sign_in())
    assert refused.value.code == "oidc_unavailable"
    assert "169.254.169.254" in refused.value.note
    assert "169.254.169.254" not in refused.value.message + refused.value.remedy


def test_a_redirecting_token_endpoint_does_not_get_the_code_elsewhere(provider: Any, peer: Any) -> None:
    thief = peer(b"")
    provider.answers["/token"] = f"HTTP/1.1 307 Go\r\nLocation: {thief.url}/\r\nContent-Length: 0\r\n\r\n".encode()
    with pytest.raises(SignInRefused) as refused:
        provider.walk(provider.sign_in())
    assert refused.value.code == "oidc_unavailable"
    assert thief.requests == []
