"""The key set comes from where somebody else can write: another host in `jwks_uri`, or the end of a redirect."""

from __future__ import annotations

import pytest
from authsec import KeysUnavailable

from ..fake_keys import JWKS, METADATA, FakeClock, serving


def test_a_jwks_uri_on_another_host() -> None:
    with serving() as authority, serving() as other:
        authority.publish({"issuer": authority.url, "jwks_uri": other.url + JWKS}, METADATA)
        with pytest.raises(KeysUnavailable, match="jwks_uri in the authority's metadata does not begin with"):
            authority.verifier(FakeClock()).verify(authority.token())
        assert other.asked == []


@pytest.mark.parametrize(
    "jwks_uri",
    [
        "https://127.0.0.1/jwks.json",
        "{url}.attacker.example/jwks.json",
        "{url}@attacker.example/jwks.json",
        "{url}",
        "//attacker.example/jwks.json",
        "/.well-known/jwks.json",
        "file:///etc/passwd",
        " {url}/jwks.json",
        "{url}/jwks.json\r\nX-Injected: 1",
        "{url}/jwks json",
        "{url}/" + "x" * 3000,
        "{url}/é",
        "",
    ],
)
def test_addresses_that_only_look_like_ours(jwks_uri: str) -> None:
    with serving() as authority:
        authority.publish({"issuer": authority.url, "jwks_uri": jwks_uri.format(url=authority.url)}, METADATA)
        with pytest.raises(KeysUnavailable, match="jwks_uri in the authority's metadata does not begin with"):
            authority.verifier(FakeClock()).verify(authority.token())
        assert authority.asked == [METADATA]


@pytest.mark.parametrize("jwks_uri", [None, 7, ["{url}/jwks.json"]])
def test_a_jwks_uri_that_is_no_address(jwks_uri: object) -> None:
    with serving() as authority:
        authority.publish({"issuer": authority.url, "jwks_uri": jwks_uri}, METADATA)
        with pytest.raises(KeysUnavailable, match="jwks_uri"):
            authority.verifier(FakeClock()).verify(authority.token())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", [METADATA, JWKS])
def test_redirects_are_not_followed(path: str, status: int) -> None:
    with serving() as authority, serving() as other:
        authority.publish({}, path, status=status, location=other.url + path)
        with pytest.raises(KeysUnavailable, match="redirects are not followed"):
            authority.verifier(FakeClock()).verify(authority.token())
        assert other.asked == []
