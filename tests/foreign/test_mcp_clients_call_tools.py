"""Stock MCP clients get a token from the authority by their own credentials, and call a tool of a protected server.

Each client is given the server's URL, its credential and the issuer that the credential belongs to, and nothing else.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from authsec import TokenVerifier
from authsec.asgi import BearerAuth
from authsec.mcp import identity, protected_by, require
from authsec_server.console.clients.oauth_clients import OAuthClient
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from mcp.server import MCPServer

from ..environments import variables
from .catalogue import MCP_1, MCP_2, MCP_NPM, MCP_TOKEN_BY_KEY, MCP_TOKEN_BY_SECRET, TRIED, Client, each
from .recording import RecordVerdict

# Arguments: server, issuer, kind of credential, client id, credential, name of the tool.
PYTHON_CLIENT = """
import asyncio, sys, warnings
warnings.simplefilter("ignore")
from mcp import ClientSession
from mcp.client.auth import OAuthTokenError, oauth2
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider, PrivateKeyJWTOAuthProvider, SignedJWTParameters
)
from mcp.client.streamable_http import streamable_http_client
http = getattr(oauth2, "httpx2", None) or oauth2.httpx  # of version 2, or of 1.30
server, issuer, kind, client_id, credential, tool = sys.argv[1:]

class Storage:
    tokens = None
    async def get_tokens(self): return self.tokens
    async def set_tokens(self, tokens): self.tokens = tokens
    async def get_client_info(self): return None
    async def set_client_info(self, client_info): raise AssertionError("it is registered")

registered = {"server_url": server, "storage": Storage(), "client_id": client_id, "issuer": issuer}
if kind == "secret":
    provider = ClientCredentialsOAuthProvider(client_secret=credential, **registered)
else:
    signing = {"issuer": client_id, "subject": client_id, "signing_key": credential, "signing_algorithm": "ES256"}
    if http is not getattr(oauth2, "httpx2", None):  # version 1 appends a slash to an issuer without a path
        signing["additional_claims"] = {"aud": issuer}
    jwt = SignedJWTParameters(**signing)
    provider = PrivateKeyJWTOAuthProvider(assertion_provider=jwt.create_assertion_provider(), **registered)

async def call():
    async with (
        http.AsyncClient(auth=provider, trust_env=False) as client,
        streamable_http_client(server, http_client=client) as streams,
        ClientSession(*streams[:2]) as session,
    ):
        await session.initialize()
        return (await session.call_tool(tool, {})).content[0].text

def causes(error):
    yield error
    for each in (*getattr(error, "exceptions", ()), error.__cause__, error.__context__):
        if each is not None:
            yield from causes(each)

try:
    print(asyncio.run(call()))
except BaseException as error:
    print(next((each for each in causes(error) if isinstance(each, OAuthTokenError)), repr(error)))
"""

PYTHON_SECRET = "ClientCredentialsOAuthProvider(…, issuer=issuer)"
PYTHON_KEY = "PrivateKeyJWTOAuthProvider(…, issuer=issuer)` and `SignedJWTParameters"
SETTINGS = {
    MCP_1: {
        "secret": PYTHON_SECRET,
        "key": f'{PYTHON_KEY}(…, additional_claims={{"aud": issuer}})',
    },
    MCP_2: {
        "secret": PYTHON_SECRET,
        "key": f"{PYTHON_KEY}(…)",
    },
    MCP_NPM: {
        "secret": "ClientCredentialsProvider({ …, expectedIssuer: issuer })",
        "key": "PrivateKeyJwtProvider({ …, expectedIssuer: issuer })",
    },
}


@contextmanager
def protected(issuer: str) -> Iterator[str]:
    """A protected MCP server with a tool `show` that needs `customers:read`, and `drop` that needs another action."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        verifier = TokenVerifier(issuer=issuer, audience=url)
        tools = MCPServer("crm", **protected_by(verifier))

        @tools.tool()
        def show() -> str:
            require("customers:read")
            return f"Ada, for {identity().client_id}"

        @tools.tool()
        def drop() -> str:
            require("customers:delete")
            return "dropped"

        app = BearerAuth(tools.streamable_http_app(), verifier=verifier)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join()
            verifier.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """An agent of the authority, its two credentials, and the server that it may call."""

    authority: Any
    server: str
    client_id: str
    secret: str
    pem: str
    delegation: str


@pytest.fixture
def registered(client: Client, serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registered]:
    """An authority, an agent with a key and a secret, and a trust delegation for the server."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with serving(tmp_path_factory.mktemp(client.name), "") as serve:
        its = serve()
        with protected(its.url) as server:
            agent = its.agent("Night Owl", platform="key", public_key=public)
            secret = its.post(f"clients/{agent.client_id}/proofs", platform="secret")["client_secret"]
            role = its.role("Support", "customers:read", "customers:delete")
            yield Registered(
                authority=its,
                server=server,
                client_id=agent.client_id,
                secret=secret,
                pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
                delegation=its.delegate(role, agent, "customers:read", audiences=[server]),
            )


@pytest.fixture
def call(client: Client, registered: Registered, request: pytest.FixtureRequest, tmp_path: Any) -> Callable[..., str]:
    """Let the client call a tool with a credential of this kind; what it prints."""

    def run(kind: str, tool: str) -> str:
        credential = registered.secret if kind == "secret" else registered.pem
        arguments = [registered.server, registered.authority.url, kind, registered.client_id, credential, tool]
        if client is MCP_2:
            command = [sys.executable, "-c", PYTHON_CLIENT, *arguments]
            done = subprocess.run(
                command, cwd=tmp_path, env=variables(), capture_output=True, text=True, timeout=60, check=False
            )
        elif client is MCP_1:
            done = request.getfixturevalue("foreign_python").run(PYTHON_CLIENT, *arguments)
        else:
            done = request.getfixturevalue("foreign_node").run("mcp_tool.mjs", *arguments)
        return str(done.stdout) or str(done.stderr)

    return run


# Of the two, test_mcp_clients_ask_for_more.py has the other in every run.
@pytest.mark.parametrize("client", each(TRIED[MCP_TOKEN_BY_SECRET], rarely=[MCP_1, MCP_2]))
def test_a_stock_mcp_client_calls_a_tool_by_its_own_credentials(
    client: Client, registered: Registered, call: Callable[..., str], record_verdict: RecordVerdict
) -> None:
    for kind in ("secret", "key"):
        assert call(kind, "show") == f"Ada, for {registered.client_id}\n"
        missing = call(kind, "drop")
        assert "does not allow customers:delete" in missing, missing
    registered.authority.post(f"delegations/{registered.delegation}/revoke")
    for kind, tried in (("secret", MCP_TOKEN_BY_SECRET), ("key", MCP_TOKEN_BY_KEY)):
        told = call(kind, "show")
        assert "unauthorized_client" in told, told
        setting = SETTINGS[client][kind]
        record_verdict(
            client, tried, f"calls a tool (`{setting}`); reports a missing action, and `unauthorized_client`"
        )


@pytest.mark.in_ci
@pytest.mark.parametrize("client", each([MCP_NPM, MCP_2]))
def test_the_code_of_connect_lists_the_tools_of_a_protected_server(
    client: Client, registered: Registered, request: pytest.FixtureRequest, tmp_path: Any
) -> None:
    (tmp_path / "key").write_text(registered.pem)
    (tmp_path / "secret").write_text(f"{registered.secret}\n")
    for algorithm in ("ES256", ""):
        code = OAuthClient(
            issuer=registered.authority.url,
            client_id=registered.client_id,
            key_file=str(tmp_path / "key"),
            secret_file=str(tmp_path / "secret"),
            algorithm=algorithm,
            has_secret=True,
            audience=registered.server,
        )
        if client is MCP_2:
            command, folder = [sys.executable, "-c", code.python_mcp], tmp_path
        else:
            folder = request.getfixturevalue("foreign_node").folder
            # The connection of the last line stays open, so the program says when it has ended.
            command = ["node", "--input-type=module", "--eval", f"{code.typescript_mcp}\nprocess.exit();"]
        done = subprocess.run(
            command, cwd=folder, env=variables(), capture_output=True, text=True, timeout=60, check=False
        )
        assert "show" in done.stdout, done.stderr
        assert "drop" in done.stdout
