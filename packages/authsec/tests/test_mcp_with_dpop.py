"""An MCP server whose callers' tokens are bound to a key, and `mcp_auth` as its caller."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from authsec import AuthSecClient, TokenVerifier
from authsec.mcp import AgentTokenVerifier, BearerAuth
from authsec.testing import ThrowawayAuthority
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from .bound_requests import PATH, Holder, dpop_verifier
from .fake_keys import ISSUER, UNFOLLOWED, FakeClock, key_set, token
from .protected_mcp_server import AUDIENCE, ProtectedMcpServer, protected_mcp_server
from .speaking_asgi import speak

pytest_plugins = ["authsec.testing"]

HELLO = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


@pytest.fixture
def agent(authsec_authority: ThrowawayAuthority, monkeypatch: pytest.MonkeyPatch) -> AuthSecClient:
    monkeypatch.setenv("AUTHSEC_DPOP", "1")
    client = AuthSecClient()
    authsec_authority.stand_in_for(client)
    authsec_authority.delegate("customers:read")
    return client


@pytest.fixture
def verifier(authsec_authority: ThrowawayAuthority) -> TokenVerifier:
    return authsec_authority.verifier(AUDIENCE, dpop_origin="http://127.0.0.1:1", dpop_required=True)


@pytest.fixture(params=[True, False], ids=["json", "events"])
def server(verifier: TokenVerifier, request: pytest.FixtureRequest) -> Iterator[ProtectedMcpServer]:
    with protected_mcp_server(verifier, in_json=request.param) as running:
        assert verifier.binding is not None
        verifier.binding.origin = running.origin  # known only now
        yield running


async def shown(auth: Any, url: str) -> Any:
    async with auth() as http, Client(streamable_http_client(url, http_client=http)) as session:
        return [await session.call_tool("show_customer", {"customer": number}) for number in ("42", "43")]


def test_an_agent_calls_tools_with_a_proof_for_each_message(agent: AuthSecClient, server: ProtectedMcpServer) -> None:
    results = asyncio.run(shown(agent.mcp_auth(allowed_origins=server.origin), server.url))
    assert [result.is_error for result in results] == [False, False]
    assert results[1].content[0].text == "Customer 43 is Ada, asked for by Bearer [delegation token removed]"
    assert set(server.tokens) == {agent.get_delegation_token()}


def test_a_thief_of_the_token_calls_none(agent: AuthSecClient, server: ProtectedMcpServer) -> None:
    value = agent.get_delegation_token()

    def answer(**headers: str) -> tuple[int, str]:
        sent = {"Accept": "application/json, text/event-stream", **headers}
        got = urllib3.request("POST", server.url, headers=sent, json=HELLO, retries=False)
        return got.status, got.json()["reason"]

    proof = agent.headers(value, "POST", server.url)["DPoP"]
    elsewhere = agent.headers(value, "POST", f"{server.origin}/other")["DPoP"]
    assert answer(Authorization=f"Bearer {value}") == (401, "bound_token_as_bearer")
    assert answer(Authorization=f"Bearer {value}", DPoP=proof) == (401, "bound_token_as_bearer")
    assert answer(Authorization=f"DPoP {value}") == (401, "dpop_proof_invalid")
    assert answer(Authorization=f"DPoP {value}", DPoP=elsewhere) == (401, "dpop_proof_invalid")


def test_a_bound_token_is_no_bearer_token_for_mcp_itself() -> None:
    """`mcp` asks with the token alone, so only a request that `BearerAuth` has verified may pass there."""
    holder = Holder()
    bound, verifier = holder.token(), dpop_verifier()
    asked = AgentTokenVerifier(verifier)
    found: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scheme, _, sent = dict(scope["headers"])[b"authorization"].decode().partition(" ")
        found.append((scheme, b"dpop" in dict(scope["headers"])))
        found.extend([await asked.verify_token(sent), await asked.verify_token(holder.token(jti="other"))])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def sent(scheme: str, value: str, *proofs: str) -> None:
        headers = [(b"authorization", f"{scheme} {value}".encode()), *((b"dpop", proof.encode()) for proof in proofs)]
        scope = {"type": "http", "method": "GET", "path": PATH, "headers": headers}
        speak(BearerAuth(app, verifier=verifier), scope, [])

    sent("DPoP", bound, holder.proof(bound))
    scheme, known, other = found
    assert scheme == ("Bearer", False)
    assert known is not None
    assert other is None
    assert asyncio.run(asked.verify_token(bound)) is None
    found.clear()
    sent("Bearer", token())  # a bearer token goes on as it was
    assert found[0] == ("Bearer", False)
    assert found[1] is not None


def test_what_one_verifier_has_verified_is_not_taken_for_another_api() -> None:
    holder = Holder()
    bound = holder.token()
    others = [
        AgentTokenVerifier(each)
        for each in (_of("https://other.example"), _of("https://crm.example.com", dpop_origin=None))
    ]
    found: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.extend([await other.verify_token(bound) for other in others])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    headers = [(b"authorization", f"DPoP {bound}".encode()), (b"dpop", holder.proof(bound).encode())]
    scope = {"type": "http", "method": "GET", "path": PATH, "headers": headers}
    speak(BearerAuth(app, verifier=dpop_verifier()), scope, [])
    assert found == [None, None]


def _of(audience: str, **settings: Any) -> TokenVerifier:
    given = {"dpop_origin": audience, **settings}
    return TokenVerifier(ISSUER, audience, keys=key_set(), clock=FakeClock().clock(), **UNFOLLOWED, **given)
