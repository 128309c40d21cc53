"""Stock MCP clients meet a protected MCP server, and it receives no credential that belongs to the authority.

Where a client finds no token endpoint in the authority's metadata (RFC 8414), it sends the agent's secret to `/token`
at the MCP server itself. Each client here is asked with and without the issuer that its credential belongs to.
"""

from __future__ import annotations

import base64
import secrets
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import pytest
import uvicorn
from authsec import TokenVerifier
from authsec.asgi import BearerAuth
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..environments import variables
from .catalogue import MCP_1, MCP_2, MCP_KEY, MCP_NPM, MCP_SECRET, TRIED, Client, each
from .recording import RecordVerdict

# Arguments: server, issuer ("" names none), kind of credential, client id, credential.
PYTHON_CLIENT = """
import asyncio, sys, warnings
warnings.simplefilter("ignore")
from mcp.client.auth import OAuthTokenError, oauth2
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider, PrivateKeyJWTOAuthProvider, SignedJWTParameters
)
http = getattr(oauth2, "httpx2", None) or oauth2.httpx  # of version 2, or of 1.30
server, issuer, kind, client_id, credential = sys.argv[1:]

class Storage:
    async def get_tokens(self): return None
    async def set_tokens(self, tokens): raise AssertionError("there is no token to be had")
    async def get_client_info(self): return None
    async def set_client_info(self, client_info): raise AssertionError("it is registered")

registered = {"server_url": server, "storage": Storage(), "client_id": client_id, "issuer": issuer or None}
if kind == "secret":
    provider = ClientCredentialsOAuthProvider(client_secret=credential, **registered)
else:
    jwt = SignedJWTParameters(issuer=client_id, subject=client_id, signing_key=credential, signing_algorithm="ES256")
    provider = PrivateKeyJWTOAuthProvider(assertion_provider=jwt.create_assertion_provider(), **registered)

async def ask():
    async with http.AsyncClient(auth=provider, trust_env=False) as client:
        return await client.post(server, json={"jsonrpc": "2.0", "id": 1, "method": "initialize"})

try:
    print("answered", asyncio.run(ask()).status_code)
except OAuthTokenError as error:
    print(error)
"""


@dataclass
class Resource:
    """An MCP server that nobody is let in to, and all that it was sent."""

    url: str
    received: list[str] = field(default_factory=list)

    def has_received(self, *words: str) -> bool:
        """Whether any of these was in an address, a header or a body, however it was encoded."""
        texts = [text.lower() for each in self.received for text in (each, unquote_plus(each))]
        return any(word.lower() in text for text in texts for word in words)


class Capture:
    """Writes down every request before anything else sees it."""

    def __init__(self, app: ASGIApp, resource: Resource) -> None:
        self._app = app
        self._resource = resource

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        headers = [f"{name.decode()}: {value.decode()}" for name, value in scope["headers"]]
        first = f"{scope['method']} {scope['path']}?{scope['query_string'].decode()}"
        self._resource.received.append("\n".join([first, *headers, body.decode()]))
        await self._app(scope, receive, send)


@contextmanager
def protected(issuer: str) -> Iterator[Resource]:
    """An MCP server under `/mcp`, protected as docs/protecting-apis.md says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        resource = Resource(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp")
        verifier = TokenVerifier(issuer=issuer, audience=resource.url, revocations="until_exp")
        app = Capture(BearerAuth(Response(status_code=204), verifier=verifier), resource)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield resource
        finally:
            server.should_exit = True
            thread.join()
            verifier.close()


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(client: Client, request: pytest.FixtureRequest, tmp_path: Any) -> Run:
    """Run the client with the arguments of `PYTHON_CLIENT`, and it prints why it could not connect."""
    if client is MCP_1:
        foreign_python = request.getfixturevalue("foreign_python")
        return lambda *arguments: foreign_python.run(PYTHON_CLIENT, *arguments)
    if client is MCP_2:
        command = [sys.executable, "-c", PYTHON_CLIENT]
        options: dict[str, Any] = {"cwd": tmp_path, "env": variables(), "capture_output": True, "text": True}
        return lambda *arguments: subprocess.run([*command, *arguments], timeout=60, check=False, **options)
    foreign_node = request.getfixturevalue("foreign_node")
    return lambda *arguments: foreign_node.run("mcp_client.mjs", *arguments)


@pytest.fixture(scope="module")
def authority(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One authority for all of them."""
    with serving(tmp_path_factory.mktemp("authority"), "") as serve:
        yield serve()


@pytest.mark.parametrize("client", each(TRIED[MCP_SECRET], rarely=[MCP_1, MCP_NPM]))
@pytest.mark.parametrize(
    ("kind", "tried"), [("secret", MCP_SECRET), pytest.param("key", MCP_KEY, marks=pytest.mark.soak)]
)
def test_a_stock_mcp_client_takes_its_credential_to_the_authority_alone(
    client: Client, kind: str, tried: str, run: Run, authority: Any, record_verdict: RecordVerdict
) -> None:
    client_id = str(uuid.uuid4())
    private_key = ec.generate_private_key(ec.SECP256R1())
    pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    credential = secrets.token_urlsafe() if kind == "secret" else pem
    logged = len(authority.log.read_text())

    for issuer in ("", authority.url):
        with protected(authority.url) as resource:
            done = run(resource.url, issuer, kind, client_id, credential)
        assert resource.has_received("GET /.well-known/oauth-protected-resource/mcp"), done.stdout + done.stderr
        words = {credential, client_id, "authorization:", "client_assertion", "eyJ"}
        words |= {base64.b64encode(f"{client_id}:{credential}".encode()).decode()}
        assert [word for word in words if resource.has_received(word)] == []
        assert "invalid_client" in done.stdout, done.stdout + done.stderr

    log = authority.log.read_text()[logged:]
    sent = 4 if client is MCP_NPM else 2  # the TypeScript SDK repeats a request after `invalid_client`
    assert log.count('"path": "/oauth/token"') == sent, log
    for word in (credential, client_id, "client_assertion", "Basic", "eyJ"):
        assert word not in log
    record_verdict(client, tried, "asks the authority, which refuses; the MCP server receives no credential")
