"""An MCP server answers with the token that it was sent, which a framework would hand to the model, or to a log.

The answer may be compressed, come in pieces that end anywhere, or be read by the hooks of others before the MCP client
reads it. A header is an answer, too: `mcp` logs the one that names its session.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from authsec import AuthSecClient
from authsec.issued_tokens import live_tokens
from authsec.mcp_client import without_tokens
from authsec.testing import ThrowawayAuthority
from hypothesis import given
from hypothesis import strategies as st
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from ..protected_mcp_server import AUDIENCE, protected_mcp_server

pytest_plugins = ["authsec.testing"]

ORIGIN = "https://crm.example.com"
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo"}}
OF_THE_SERVER = ("mcp.server", "sse_starlette", "uvicorn")  # it echoes the token, so its log has it
REMOVED = "[delegation token removed]"


@pytest.fixture
def client(authsec_authority: ThrowawayAuthority) -> AuthSecClient:
    return authsec_authority.client()


def asked(client: AuthSecClient, answer: Callable[[str], Any], **settings: Any) -> Any:
    """What an MCP client gets of a server that makes its answer out of the token."""

    def respond(request: httpx2.Request) -> httpx2.Response:
        response: httpx2.Response = answer(request.headers["Authorization"].removeprefix("Bearer "))
        return response

    async def run() -> Any:
        transport = httpx2.MockTransport(respond)
        async with client.mcp_auth(allowed_origins=ORIGIN)(transport=transport, **settings) as http:
            return await http.post(
                f"{ORIGIN}/mcp", json=CALL, headers={"Accept": "application/json, text/event-stream"}
            )

    return asyncio.run(run())


async def streamed(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_no_piece_of_a_body_has_it(size: int, client: AuthSecClient) -> None:
    got = asked(
        client, lambda token: httpx2.Response(200, content=streamed(f"data: {token}\n\n{token}".encode(), size))
    )
    assert got.text == f"data: {REMOVED}\n\n{REMOVED}"


def test_no_compressed_body_has_it(client: AuthSecClient) -> None:
    def answer(token: str) -> httpx2.Response:
        packed = gzip.compress(f'{{"sent": "{token}"}}'.encode())
        headers = {"Content-Encoding": "gzip", "Content-Length": str(len(packed))}
        return httpx2.Response(200, content=streamed(packed, 10), headers=headers)

    assert asked(client, answer).json() == {"sent": REMOVED}


def test_no_body_has_it_that_is_there_at_once(client: AuthSecClient) -> None:
    """As from transports for tests."""
    assert asked(client, lambda token: httpx2.Response(200, json={"sent": token})).json() == {"sent": REMOVED}
    assert asked(client, lambda _: httpx2.Response(200, json={"sent": "nothing"})).json() == {"sent": "nothing"}


def test_no_header_has_it(client: AuthSecClient) -> None:
    got = asked(client, lambda token: httpx2.Response(200, headers={"Mcp-Session-Id": f"session of {token}"}))
    assert got.headers["Mcp-Session-Id"] == f"session of {REMOVED}"


def test_no_refusal_has_it(client: AuthSecClient) -> None:
    def answer(token: str) -> httpx2.Response:
        return httpx2.Response(403, headers={"WWW-Authenticate": f'Bearer error_description="{"." * 150}{token}"'})

    text = asked(client, answer).json()["result"]["content"][0]["text"]
    assert REMOVED in text
    assert client.get_delegation_token()[:40] not in text


@pytest.mark.parametrize("when", ["at once", "later"])
def test_no_hook_of_others_reads_it(when: str, client: AuthSecClient) -> None:
    read: list[str] = []

    async def hook(response: httpx2.Response) -> None:
        await response.aread()
        read.append(response.text)

    async def run() -> None:
        transport = httpx2.MockTransport(
            lambda sent: httpx2.Response(200, content=streamed(sent.headers.raw[-1][1], 9))
        )
        hooks = {"event_hooks": {"response": [hook]}} if when == "at once" else {}
        async with client.mcp_auth(allowed_origins=ORIGIN)(transport=transport, **hooks) as http:
            if when == "later":
                http.event_hooks = {"response": [hook]}
            await http.post(f"{ORIGIN}/mcp", json=CALL)

    asyncio.run(run())
    assert read == [f"Bearer {REMOVED}"]


def test_no_log_and_no_repr_has_it(
    client: AuthSecClient, authsec_authority: ThrowawayAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[object] = []

    async def run(url: str, origin: str) -> None:
        factory = client.mcp_auth(allowed_origins=origin, scope="customers:read")
        opened = streamable_http_client
        async with factory() as http, opened(url, http_client=http) as streams, ClientSession(*streams) as session:
            await session.initialize()
            for _ in range(2):
                shown.extend([await session.call_tool("show_customer", {"customer": "42"}), factory, http, vars(http)])
                authsec_authority.revoke(client.get_token("customers:read"))
            authsec_authority.delegate()
            shown.append(await session.call_tool("show_customer", {"customer": "42"}))

    with protected_mcp_server(authsec_authority.verifier(AUDIENCE), in_json=False) as crm:
        asyncio.run(run(crm.url, crm.origin))
    parts = {part for token in crm.tokens for part in token.split(".")[1:]}
    assert len(parts) > 2
    logged = [vars(record) for record in caplog.records if not record.name.startswith(OF_THE_SERVER)]
    told = repr(shown) + repr(logged)
    assert "Sending client message" in told
    assert not any(part in told for part in parts)


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_a_body_is_the_same_wherever_its_pieces_end(texts: list[bytes], data: Any) -> None:
    """A body of lines, of one line, and of one that is too long to be kept."""
    token = _token()
    body = token.join(texts)
    if data.draw(st.booleans()):
        body = b"x" * data.draw(st.integers(60_000, 140_000)) + body + b"y" * data.draw(st.integers(0, 70_000))
    size = data.draw(st.integers(1, 60) if len(body) < 1000 else st.sampled_from([999, 4096, 65_536, 200_000]))

    async def run() -> bytes:
        return b"".join([piece async for piece in without_tokens(streamed(body, size))])

    assert asyncio.run(run()) == body.replace(token, REMOVED.encode())


def test_a_line_is_passed_on_before_the_next_one_comes() -> None:
    """The events of a stream are read when they are sent, whatever kind of line break the server uses."""

    async def run(line: bytes) -> bytes:
        async def endless() -> AsyncIterator[bytes]:
            yield line + b"data: b"
            raise AssertionError("the first line was kept back")

        pieces = without_tokens(endless())
        return await anext(pieces)

    for line in (b"data: a\n\n", b"data: a\r\n\r\n", b"data: a\r\r"):
        assert asyncio.run(run(line)) == line


def _token() -> bytes:
    """One that this process has been given."""
    if not live_tokens():
        with ThrowawayAuthority() as authority:
            authority.client().get_token()
    return live_tokens()[-1].encode()
