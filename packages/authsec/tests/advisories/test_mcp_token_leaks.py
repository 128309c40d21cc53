"""What `mcp` keeps of a request is a pydantic model, whose repr shows every field: the token must not be among them."""

from __future__ import annotations

import asyncio

import pytest
from authsec import AgentRequired, ConfigError, KeysUnavailable, TokenVerifier
from authsec.mcp import AgentTokenVerifier, identity, protected_by

from ..fake_keys import AUDIENCE, ISSUER, NOW, FakeClock, key_set, serving, token, verifier_of


def test_no_tool_and_no_log_sees_the_token() -> None:
    bearer = token()
    access = asyncio.run(AgentTokenVerifier(verifier_of()).verify_token(bearer))
    assert access is not None
    assert (access.client_id, access.resource) == (access.identity.client_id, AUDIENCE)
    for shown in (repr(access), str(access), access.model_dump_json()):
        assert not any(part in shown for part in bearer.split("."))


def test_nothing_but_a_good_token_gives_access() -> None:
    verifier = AgentTokenVerifier(verifier_of())
    for bearer in ("", "x", f" {token()}", token(exp=NOW - 60), token(aud="https://other.example.com")):
        assert asyncio.run(verifier.verify_token(bearer)) is None
    with serving() as authority:
        authority.pages.clear()
        with pytest.raises(KeysUnavailable):
            asyncio.run(AgentTokenVerifier(authority.verifier(FakeClock())).verify_token(authority.token()))


def test_without_a_request_there_is_no_agent() -> None:
    with pytest.raises(AgentRequired):
        identity()


def test_an_audience_that_is_no_address_protects_no_server() -> None:
    with pytest.raises(ConfigError, match="address"):
        protected_by(TokenVerifier(ISSUER, "authsec-api", keys=key_set()))
