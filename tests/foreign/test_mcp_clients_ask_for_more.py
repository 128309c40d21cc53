"""Stock MCP clients use examples/mcp_server.py with their own client credentials, and nothing of ours."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ..environments import variables
from .catalogue import MCP_1, MCP_2, MCP_NPM, MCP_TOOLS, ROOT, TRIED, Client, each
from .recording import RecordVerdict

# Arguments: server, issuer, kind of credential, client id, credential, and the tools. Prints each answer as JSON.
PYTHON_CLIENT = """
import asyncio, json, logging, sys, warnings
warnings.simplefilter("ignore")
logging.disable()
from mcp import ClientSession
from mcp.client.auth import OAuthTokenError, oauth2
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider, PrivateKeyJWTOAuthProvider, SignedJWTParameters
)
from mcp.client.streamable_http import streamable_http_client
http = getattr(oauth2, "httpx2", None) or oauth2.httpx  # of version 2, or of 1.30
server, issuer, kind, client_id, credential, *tools = sys.argv[1:]

class Storage:
    tokens = client_info = None
    async def get_tokens(self): return self.tokens
    async def set_tokens(self, tokens): self.tokens = tokens
    async def get_client_info(self): return None
    async def set_client_info(self, client_info): raise AssertionError("it is registered")

registered = {"server_url": server, "storage": Storage(), "client_id": client_id, "issuer": issuer}
if kind == "secret":
    provider = ClientCredentialsOAuthProvider(client_secret=credential, **registered)
else:
    jwt = SignedJWTParameters(issuer=client_id, subject=client_id, signing_key=credential, signing_algorithm="ES256")
    made_for = jwt.create_assertion_provider()
    # Version 1.30 adds a slash to the issuer that it passes.
    provider = PrivateKeyJWTOAuthProvider(assertion_provider=lambda _: made_for(issuer), **registered)

answers = []

async def call():
    async with (
        http.AsyncClient(auth=provider, trust_env=False) as client,
        streamable_http_client(server, http_client=client) as streams,
        ClientSession(*streams[:2]) as session,
    ):
        await session.initialize()
        for tool in tools:
            answers.append((await session.call_tool(tool, {"customer": "42"})).content[0].text)

def refused(error):
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(refused, error.exceptions)), "")
    return str(error) if isinstance(error, OAuthTokenError) else ""

try:
    asyncio.run(asyncio.wait_for(call(), 20))
except BaseException as error:
    answers.append(f"refused: {refused(error) or repr(error)}")
print(json.dumps(answers))
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A registered agent, and each of its credentials."""

    client_id: str
    credentials: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """An authority, an MCP server that trusts it, and its agents."""

    issuer: str
    server: str
    reader: Agent
    deleter: Agent
    stranger: Agent


@contextmanager
def served(app: Any, listener: socket.socket) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def example() -> Any:
    """The application of examples/mcp_server.py."""
    spec = importlib.util.spec_from_file_location("mcp_server", ROOT / "examples" / "mcp_server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def agent(its: Any, name: str, audience: str, *actions: str) -> Agent:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    made = its.agent(name, platform="key", public_key=public)
    secret = its.post(f"clients/{made.client_id}/proofs", platform="secret")["client_secret"]
    its.delegate(its.role(f"{name} role", *actions), made, *actions, audiences=[audience])
    return Agent(client_id=made.client_id, credentials={"secret": secret, "key": pem})


@pytest.fixture(scope="module")
def company(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """One authority and one MCP server for all clients."""
    with (
        serving(tmp_path_factory.mktemp("authority"), "") as serve,
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.MonkeyPatch.context() as environment,
    ):
        its = serve()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        environment.setenv("AUTHSEC_ISSUER", its.url)
        environment.setenv("MCP_URL", url)
        company = Company(
            issuer=its.url,
            server=url,
            reader=agent(its, "Reader", url, "customers:read"),
            deleter=agent(its, "Deleter", url, "customers:read", "customers:delete"),
            stranger=agent(its, "Stranger", "https://other.example.com/mcp", "customers:read"),
        )
        crm = example()
        with served(crm.app, listener):
            yield company
        crm.verifier.close()


@pytest.fixture
def run(client: Client, request: pytest.FixtureRequest, tmp_path: Any) -> Run:
    """Run the client with the arguments of `PYTHON_CLIENT`."""
    if client is MCP_1:
        foreign_python = request.getfixturevalue("foreign_python")
        return lambda *arguments: foreign_python.run(PYTHON_CLIENT, *arguments)
    if client is MCP_2:
        command = [sys.executable, "-c", PYTHON_CLIENT]
        options: dict[str, Any] = {"cwd": tmp_path, "env": variables(), "capture_output": True, "text": True}
        return lambda *arguments: subprocess.run([*command, *arguments], timeout=60, check=False, **options)
    foreign_node = request.getfixturevalue("foreign_node")
    return lambda *arguments: foreign_node.run("mcp_tools.mjs", *arguments)


# Of the two, test_mcp_clients_call_tools.py has the other in every run.
@pytest.mark.parametrize("client", each(TRIED[MCP_TOOLS], rarely=[MCP_1, MCP_NPM]))
@pytest.mark.parametrize("kind", ["secret", pytest.param("key", marks=pytest.mark.soak)])
def test_a_stock_mcp_client_uses_a_protected_server(
    client: Client, kind: str, run: Run, company: Company, record_verdict: RecordVerdict
) -> None:
    def answers(of: Agent, *tools: str) -> list[str]:
        done = run(company.server, company.issuer, kind, of.client_id, of.credentials[kind], *tools)
        assert done.stdout, done.stderr
        found: list[str] = json.loads(done.stdout.splitlines()[-1])
        return found

    shown = f"Customer 42, asked for by spiffe://authsec.internal/agent/{company.deleter.client_id}"
    # The token of the first call allows customers:read alone. The second call gets 403, and the client asks for more.
    # The npm package ignores the scope of a challenge. It asks for all that is delegated, from the beginning.
    assert answers(company.deleter, "show_customer", "delete_customer", "show_customer") == [
        shown,
        "Customer 42 is gone",
        shown,
    ]
    read, refused = answers(company.reader, "show_customer", "delete_customer")
    assert read.startswith("Customer 42, asked for by ")
    assert refused.startswith("refused: ")
    steps_up = client is not MCP_NPM
    assert ("invalid_scope" if steps_up else "403 after trying upscoping") in refused
    (unknown,) = answers(company.stranger, "show_customer")
    assert "invalid_target" in unknown
    asks = (
        "asks for more actions after a 403; reports `invalid_scope`" if steps_up else "asks for all that is delegated"
    )
    record_verdict(client, MCP_TOOLS, f"calls tools; {asks}; reports `invalid_target`")
