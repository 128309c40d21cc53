"""`mcp_auth`: an MCP session that outlasts a denial.

With a protocol version that begins with `initialize` and streams events, and one that does not, in JSON.
"""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from authsec import AuthSecClient, ConfigError, DelegationDenied
from authsec.testing import ThrowawayAuthority
from mcp import ClientSession, MCPError
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from .protected_mcp_server import AUDIENCE, ProtectedMcpServer, protected_mcp_server

pytest_plugins = ["authsec.testing"]

ACCEPT = {"Accept": "application/json, text/event-stream"}  # as every message of streamable HTTP has it
ENDED = "Nothing is currently delegated to this agent"
REMOVED = "Customer 42 is Ada, asked for by Bearer [delegation token removed]"

Play = Callable[[Any], Awaitable[None]]


@pytest.fixture
def client(authsec_authority: ThrowawayAuthority) -> AuthSecClient:
    authsec_authority.delegate("customers:read")
    return authsec_authority.client()


@asynccontextmanager
async def handshaken(auth: Any, url: str) -> AsyncIterator[Any]:
    """A session that has begun with `initialize`."""
    async with (
        auth() as http,
        streamable_http_client(url, http_client=http) as streams,
        ClientSession(*streams) as session,
    ):
        await session.initialize()
        yield session


@asynccontextmanager
async def discovered(auth: Any, url: str) -> AsyncIterator[Any]:
    """What takes the place of a session from protocol version 2026-07-28."""
    async with auth() as http, Client(streamable_http_client(url, http_client=http)) as session:
        yield session


@pytest.fixture(params=[handshaken, discovered])
def connected(request: pytest.FixtureRequest) -> Any:
    """How a session begins."""
    return request.param


@pytest.fixture
def crm(request: pytest.FixtureRequest, authsec_authority: ThrowawayAuthority) -> Iterator[ProtectedMcpServer]:
    """Answers in JSON to one of them, as a stream of events to the other."""
    in_json = "connected" in request.fixturenames and request.getfixturevalue("connected") is discovered
    with protected_mcp_server(authsec_authority.verifier(AUDIENCE), in_json=in_json) as running:
        yield running


def playing(connected: Any, client: AuthSecClient, crm: ProtectedMcpServer, play: Play) -> None:
    """Play within one session."""

    async def run() -> None:
        async with connected(client.mcp_auth(allowed_origins=crm.origin), crm.url) as session:
            await play(session)

    asyncio.run(run())


async def shown(session: Any) -> CallToolResult:
    result: CallToolResult = await session.call_tool("show_customer", {"customer": "42"})
    assert len(result.content) == 1
    return result


async def told(session: Any) -> str:
    """What the model reads of a failed tool."""
    result = await shown(session)
    assert result.is_error
    return str(result.content[0].text)  # type: ignore[union-attr] # text # there is nothing but text


def revoke_all(authority: ThrowawayAuthority, client: AuthSecClient) -> None:
    """The delegation and its token, which the client does not know of."""
    authority.delegate()
    authority.revoke(client.get_token())


def test_every_request_carries_a_token_that_no_result_gives_away(
    connected: Any, client: AuthSecClient, crm: ProtectedMcpServer
) -> None:
    async def play(session: Any) -> None:
        result = await shown(session)
        assert not result.is_error
        assert [part.text for part in result.content] == [REMOVED]  # type: ignore[union-attr] # text
        assert result.structured_content == {"result": REMOVED}

    playing(connected, client, crm, play)
    assert ("tools/call", client.get_delegation_token()) in crm.seen
    assert set(crm.tokens) == {client.get_delegation_token()}


def test_after_a_revoked_token_the_call_goes_on_with_another(
    connected: Any, client: AuthSecClient, crm: ProtectedMcpServer, authsec_authority: ThrowawayAuthority
) -> None:
    async def play(session: Any) -> None:
        authsec_authority.revoke(client.get_token())
        assert not (await shown(session)).is_error

    playing(connected, client, crm, play)
    assert len(authsec_authority.asked) == len(set(crm.tokens)) == 2


def test_a_denied_call_is_a_failed_tool_and_the_session_lives_on(
    connected: Any, client: AuthSecClient, crm: ProtectedMcpServer, authsec_authority: ThrowawayAuthority
) -> None:
    async def play(session: Any) -> None:
        assert not (await shown(session)).is_error
        revoke_all(authsec_authority, client)
        for _ in range(2):  # the server's 401 comes first; then nothing is sent
            text = await told(session)
            assert text.startswith(ENDED)
            assert "The person you work for can grant it at http://127.0.0.1:" in text
        authsec_authority.delegate("customers:read")
        assert not (await shown(session)).is_error

    playing(connected, client, crm, play)
    assert [method for method, _ in crm.seen].count("tools/call") == 3


def test_while_denied_the_tools_are_those_that_were_listed_last(
    connected: Any, client: AuthSecClient, crm: ProtectedMcpServer, authsec_authority: ThrowawayAuthority
) -> None:
    async def play(session: Any) -> None:
        before = await session.list_tools()
        revoke_all(authsec_authority, client)
        assert await told(session)
        after = await session.list_tools()
        assert [tool.name for tool in after.tools] == ["show_customer"]
        assert after == before

    playing(connected, client, crm, play)


def test_other_denied_requests_fail_with_the_same_words(
    client: AuthSecClient, crm: ProtectedMcpServer, authsec_authority: ThrowawayAuthority
) -> None:
    async def play(session: ClientSession) -> None:
        revoke_all(authsec_authority, client)
        for request in (session.list_tools, session.send_ping, session.list_resources):
            with pytest.raises(MCPError, match=ENDED):
                await request()
        authsec_authority.delegate("customers:read")
        assert not (await shown(session)).is_error

    playing(handshaken, client, crm, play)


def test_a_session_that_begins_denied_fails_with_the_same_words(
    connected: Any, client: AuthSecClient, crm: ProtectedMcpServer, authsec_authority: ThrowawayAuthority
) -> None:
    async def play(_: Any) -> None:
        raise AssertionError("it has begun")

    authsec_authority.delegate()
    with pytest.RaisesGroup(pytest.RaisesExc(MCPError, match=ENDED), flatten_subgroups=True):
        playing(connected, client, crm, play)
    assert crm.seen == []


def test_a_call_that_the_server_refuses_is_a_failed_tool(
    connected: Any, client: AuthSecClient, crm: ProtectedMcpServer, authsec_authority: ThrowawayAuthority
) -> None:
    async def play(session: Any) -> None:
        crm.forbidden.add("tools/call")
        assert await told(session) == "The API answered 403 (insufficient_scope). Not on Sundays."
        crm.forbidden.clear()
        assert not (await shown(session)).is_error

    playing(connected, client, crm, play)
    assert len(authsec_authority.asked) == 1


def test_of_an_agent_that_cannot_prove_itself_the_model_reads_no_settings(
    connected: Any,
    client: AuthSecClient,
    crm: ProtectedMcpServer,
    authsec_authority: ThrowawayAuthority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def play(session: Any) -> None:
        authsec_authority.deny("attestation_required")
        text = await told(session)
        assert text.startswith("This agent is not set up as its authority expects (attestation_required")

    playing(connected, client, crm, play)
    assert "a tool gets no token (attestation_required)" in caplog.text


def test_a_server_that_refuses_every_token_costs_the_authority_one(
    connected: Any, client: AuthSecClient, crm: ProtectedMcpServer, authsec_authority: ThrowawayAuthority
) -> None:
    async def play(session: Any) -> None:
        authsec_authority.issue_token = _revoked_at_once(authsec_authority)  # type: ignore[method-assign] # between two calls
        authsec_authority.revoke(client.get_token())
        for _ in range(3):
            assert await told(session) == "The API answered 401 (invalid_token). The token has been revoked."

    playing(connected, client, crm, play)
    assert len(authsec_authority.asked) == 2


def _revoked_at_once(authority: ThrowawayAuthority) -> Callable[..., str]:
    issue = authority.issue_token

    def issue_token(*what: Any, **claims: Any) -> str:
        token = issue(*what, **claims)
        authority.revoke(token)
        return token

    return issue_token


def test_an_authority_that_is_away_is_no_denial(
    connected: Any, client: AuthSecClient, crm: ProtectedMcpServer, authsec_authority: ThrowawayAuthority
) -> None:
    async def play(session: Any) -> None:
        await session.list_tools()
        authsec_authority.deny("unavailable")
        for request in [session.list_tools, lambda: shown(session)] * 2:
            with pytest.raises(MCPError, match="cannot issue tokens right now"):
                await request()

    playing(connected, client, crm, play)


def test_no_token_goes_to_another_origin_and_its_refusal_is_its_own(
    client: AuthSecClient, crm: ProtectedMcpServer
) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "show_customer"}}

    async def run() -> int:
        async with client.mcp_auth(allowed_origins="https://other.example.com")() as http:
            return int((await http.post(crm.url, json=call, headers=ACCEPT)).status_code)

    assert asyncio.run(run()) == 401
    assert crm.tokens == [""]


def test_a_denied_notification_is_accepted_and_not_sent(
    client: AuthSecClient, crm: ProtectedMcpServer, authsec_authority: ThrowawayAuthority
) -> None:
    """Nobody reads the answer to one; `mcp` ends the session where it cannot be sent."""
    authsec_authority.delegate()

    async def run() -> int:
        async with client.mcp_auth(allowed_origins=crm.origin)() as http:
            message = {"jsonrpc": "2.0", "method": "notifications/x"}
            return int((await http.post(crm.url, json=message, headers=ACCEPT)).status_code)

    assert asyncio.run(run()) == 202
    assert crm.seen == []


def test_what_is_no_message_is_denied_as_by_httpx_auth(
    client: AuthSecClient, crm: ProtectedMcpServer, authsec_authority: ThrowawayAuthority
) -> None:
    """The stream of what a server sends by itself, and the end of a session: clients of MCP outlast both.

    A message of the older transport has the answer to it come elsewhere.
    """
    authsec_authority.delegate()
    message = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'

    async def run(method: str, content: Any, headers: dict[str, str] = ACCEPT) -> None:
        async with client.mcp_auth(allowed_origins=crm.origin)() as http:
            await http.request(method, crm.url, content=content, headers=headers)

    async def streamed() -> AsyncIterator[bytes]:
        yield b"{}"

    for method, content in (
        ("GET", None),
        ("DELETE", None),
        ("POST", b"[]"),
        ("POST", b"no JSON"),
        ("POST", streamed()),
    ):
        with pytest.raises(DelegationDenied, match=ENDED):
            asyncio.run(run(method, content))
    with pytest.raises(DelegationDenied, match=ENDED):
        asyncio.run(run("POST", message, {"Accept": "*/*"}))
    assert crm.seen == []


def test_a_caller_cannot_leave_the_token_out(client: AuthSecClient, crm: ProtectedMcpServer) -> None:
    async def run() -> None:
        async with client.mcp_auth(allowed_origins=crm.origin)(headers={"Authorization": "Bearer other"}) as http:
            await http.get(crm.url, auth=None)

    asyncio.run(run())
    assert crm.tokens == [client.get_delegation_token()]


def test_it_takes_no_other_auth(client: AuthSecClient) -> None:
    factory = client.mcp_auth(allowed_origins="https://crm.example.com")
    with pytest.raises(ConfigError, match="allows no other auth"):
        factory(auth=("name", "password"))


def test_its_clients_are_those_of_mcp_with_the_settings_of_the_caller(client: AuthSecClient) -> None:
    factory = client.mcp_auth(allowed_origins="https://crm.example.com")
    usual, other = factory(), factory(headers={"X-Team": "sales"}, timeout=3.0, follow_redirects=True)
    assert (usual.timeout.connect, usual.timeout.read, usual.follow_redirects) == (30.0, 300.0, False)
    assert (other.timeout.read, other.headers["X-Team"], other.follow_redirects) == (3.0, "sales", True)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda auth: pickle.loads(pickle.dumps(auth))])  # noqa: S301 - of its own making
def test_a_copy_works_and_knows_no_token(copied: Any, client: AuthSecClient, crm: ProtectedMcpServer) -> None:
    """Frameworks copy what they are configured with."""
    factory = copied(client.mcp_auth(allowed_origins=crm.origin))
    assert client.get_delegation_token().encode() not in pickle.dumps(factory)

    async def run() -> None:
        async with handshaken(factory, crm.url) as session:
            assert not (await shown(session)).is_error

    asyncio.run(run())


def test_without_the_package_mcp_it_says_so() -> None:
    program = """
import sys
from authsec import AuthSecClient, ConfigError
client = AuthSecClient(base_url="http://127.0.0.1:9", client_id="3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88")
factory = client.mcp_auth(allowed_origins="https://crm.example.com")
print({"mcp", "httpx", "httpx2"} & set(sys.modules))
sys.modules["mcp"] = None
try: factory()
except ConfigError as error: print(error.reason)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["set()", "mcp_missing"]
