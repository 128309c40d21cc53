"""`authsec doctor` reads the authority's metadata as a stock OAuth client does, given only the issuer."""

from __future__ import annotations

from typing import Any

import pytest
from authsec import AuthSecConfig
from authsec.clock import Clock
from authsec.doctor.metadata import address, check_metadata
from authsec.doctor.report import Finding
from authsec.terminal import Grade
from fake_authority import CLIENT_ID, WELL_KNOWN, FakeAuthority, Reply

OAUTH, OPENID = WELL_KNOWN


def found(authority: FakeAuthority, **settings: Any) -> Finding:
    config = AuthSecConfig(**{"base_url": authority.base_url, "client_id": CLIENT_ID, "timeout": 5.0} | settings)
    return check_metadata(authority.issuer, config, Clock())


def changed(authority: FakeAuthority, path: str = OAUTH, **members: Any) -> Finding:
    """The finding about metadata with these members; None leaves one out."""
    document = {name: value for name, value in (authority.metadata() | members).items() if value is not None}
    authority.documents[path] = Reply(body=document)
    return found(authority)


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        ("https://as.example", "https://as.example/.well-known/oauth-authorization-server"),
        ("https://as.example:8443/a/b", "https://as.example:8443/.well-known/oauth-authorization-server/a/b"),
    ],
)
def test_the_well_known_part_comes_before_the_path_of_the_issuer(issuer: str, expected: str) -> None:
    assert address(issuer, "oauth-authorization-server") == expected


def test_complete_metadata_are_fine(authority: FakeAuthority) -> None:
    finding = found(authority)
    assert finding.grade is Grade.GOOD, finding.facts
    assert f"{authority.base_url}/oauth/token" in finding.facts[0]
    assert [seen.path for seen in authority.seen] == [*WELL_KNOWN]
    assert all("authorization" not in map(str.lower, seen.headers) for seen in authority.seen)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"token_endpoint": None}, "no token_endpoint"),
        ({"token_endpoint": "https://elsewhere.example/token"}, "not on the issuer's host"),
        ({"authorization_endpoint": None}, "no authorization_endpoint"),
        ({"response_types_supported": None}, "no response_types_supported"),
        ({"response_types_supported": []}, "no response_types_supported"),
        ({"grant_types_supported": ["authorization_code"]}, "no client_credentials"),
        ({"token_endpoint_auth_methods_supported": None}, "no token_endpoint_auth_methods_supported"),
        ({"token_endpoint_auth_signing_alg_values_supported": None}, "which private_key_jwt requires"),
        ({"grant_types_supported": "client_credentials"}, "no grant_types_supported"),
        ({"dpop_signing_alg_values_supported": []}, "no list of algorithms"),
        ({"dpop_signing_alg_values_supported": "ES256"}, "no list of algorithms"),
        ({"dpop_signing_alg_values_supported": ["ES256", "HS256"]}, "has HS256"),
        ({"dpop_signing_alg_values_supported": ["none"]}, "has none"),
    ],
)
def test_what_a_stock_client_misses_is_named(authority: FakeAuthority, members: dict[str, Any], said: str) -> None:
    finding = changed(authority, **members)
    assert (finding.grade, finding.reason) == (Grade.AMBER, "oauth_metadata")
    assert said in finding.facts[0]
    assert "Agents with the SDK are not affected." in finding.remedy


def test_the_algorithms_of_dpop_proofs_are_said(authority: FakeAuthority) -> None:
    assert len(found(authority).facts) == 1
    finding = changed(authority, dpop_signing_alg_values_supported=["ES256", "EdDSA"])
    assert finding.grade is Grade.GOOD
    assert finding.facts[1] == "a DPoP proof binds a token to a key: ES256, EdDSA"


@pytest.mark.parametrize("path", WELL_KNOWN)
@pytest.mark.parametrize("change", [lambda issuer: f"{issuer}/", str.upper, lambda issuer: f"{issuer}x"])
def test_the_issuer_is_compared_octet_for_octet(authority: FakeAuthority, path: str, change: Any) -> None:
    finding = changed(authority, path, issuer=change(authority.issuer))
    assert finding.grade is Grade.AMBER
    assert "issuer" in finding.facts[0]


def test_an_authority_that_is_not_at_its_issuer_is_amber(authority: FakeAuthority) -> None:
    authority.documents[OAUTH] = Reply(404, b"not here")
    assert "answers 404" in found(authority).facts[0]
    authority.documents[OAUTH] = Reply(200, b"<html>")
    assert found(authority).grade is Grade.AMBER
    authority.issuer = "http://127.0.0.1:1"
    assert found(authority, issuer=authority.issuer).grade is Grade.AMBER


def test_openid_metadata_are_not_required(authority: FakeAuthority) -> None:
    authority.documents[OPENID] = Reply(404, b"not here")
    assert found(authority).grade is Grade.GOOD


def test_no_request_goes_to_an_issuer_that_nobody_trusts(authority: FakeAuthority) -> None:
    authority.issuer = "https://vault.example"
    finding = found(authority)
    assert finding.grade is Grade.SKIPPED
    assert authority.seen == []
