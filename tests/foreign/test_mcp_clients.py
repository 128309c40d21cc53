"""Stock MCP clients meet protected MCP servers with their own client credentials, and nothing of ours.

The servers are examples/mcp_server.py, a server without `tools.guard`, and one that nobody is let in to. The last one
writes down all that it receives: where a client finds no token endpoint in the authority's metadata (RFC 8414), it
sends the agent's secret to `/token` at the MCP server itself.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import secrets
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import pytest
from authsec import TokenVerifier
from authsec.asgi import BearerAuth
from authsec.mcp import identity, protected_by, require
from authsec_server.console.clients.oauth_clients import OAuthClient
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from mcp.server import MCPServer
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..app_server import listening, served
from ..environments import variables
from .catalogue import (
    MCP_1,
    MCP_2,
    MCP_KEY,
    MCP_NPM,
    MCP_SECRET,
    MCP_TOKEN_BY_KEY,
    MCP_TOKEN_BY_SECRET,
    MCP_TOOLS,
    ROOT,
    TRIED,
    Client,
    each,
)
from .mcp_clients import Ask, Task
from .mcp_clients import ask as ask
from .recording import RecordVerdict

KINDS = ("secret", "key")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A registered agent, and each of its credentials."""

    client_id: str
    credentials: dict[str, str]
    delegation: str = ""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """An authority, its agents, and the MCP servers that trust it."""

    authority: Any
    example: str
    plain: str
    closed: Resource
    reader: Agent
    deleter: Agent
    stranger: Agent
    former: Agent

    def task(self, server: str, kind: str, agent: Agent, *tools: str) -> Task:
        credential = agent.credentials[kind]
        return Task(
            server=server,
            issuer=self.authority.url,
            kind=kind,
            client_id=agent.client_id,
            credential=credential,
            tools=tools,
        )


def example() -> Any:
    """The module examples/mcp_server.py."""
    spec = importlib.util.spec_from_file_location("mcp_server", ROOT / "examples" / "mcp_server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain_server(verifier: TokenVerifier) -> Any:
    """A server whose tools say themselves which action is missing: it sends no challenge with a scope."""
    server = MCPServer("crm", **protected_by(verifier))

    @server.tool()
    def show_customer(customer: str) -> str:
        require("customers:read")
        return f"Customer {customer}, asked for by {identity().client_id}"

    @server.tool()
    def delete_customer(customer: str) -> str:
        require("customers:delete")
        return f"Customer {customer} is gone"

    return BearerAuth(server.streamable_http_app(), verifier=verifier)


def key_pair() -> tuple[str, str]:
    """The PEM of the private and of the public half."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), public.decode()


def agent(its: Any, name: str, audiences: list[str], *actions: str) -> Agent:
    pem, public = key_pair()
    made = its.agent(name, platform="key", public_key=public)
    secret = its.post(f"clients/{made.client_id}/proofs", platform="secret")["client_secret"]
    delegation = its.delegate(its.role(f"{name} role", *actions), made, *actions, audiences=audiences)
    return Agent(client_id=made.client_id, credentials={"secret": secret, "key": pem}, delegation=delegation)


@pytest.fixture(scope="module")
def company(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """One authority and its servers for all clients."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as environment:
        its = stack.enter_context(serving(tmp_path_factory.mktemp("authority"), ""))()
        listeners, urls = zip(*(stack.enter_context(listening()) for _ in range(3)), strict=True)
        example_url, plain_url, closed_url = (f"{url}/mcp" for url in urls)
        environment.setenv("AUTHSEC_ISSUER", its.url)
        environment.setenv("MCP_URL", example_url)
        crm, closed = example(), Resource(closed_url)
        stack.enter_context(closing(crm.verifier))
        plain = stack.enter_context(closing(TokenVerifier(its.url, plain_url)))
        shut = stack.enter_context(closing(TokenVerifier(its.url, closed_url, revocations="until_exp")))
        refusing = Capture(BearerAuth(Response(status_code=204), verifier=shut), closed)
        for app, listener in zip((crm.app, plain_server(plain), refusing), listeners, strict=True):
            stack.enter_context(served(app, listener))
        former = agent(its, "Former", [plain_url], "customers:read")
        its.post(f"delegations/{former.delegation}/revoke")
        yield Company(
            authority=its,
            example=example_url,
            plain=plain_url,
            closed=closed,
            reader=agent(its, "Reader", [example_url, plain_url], "customers:read"),
            deleter=agent(its, "Deleter", [example_url], "customers:read", "customers:delete"),
            stranger=agent(its, "Stranger", ["https://other.example.com/mcp"], "customers:read"),
            former=former,
        )


@pytest.mark.parametrize("client", each(TRIED[MCP_TOOLS], rarely=[MCP_1]))
def test_a_stock_mcp_client_uses_protected_servers(
    client: Client, ask: Ask, company: Company, record_verdict: RecordVerdict
) -> None:
    """In one process: it calls tools, asks for more actions, and takes its credential to the authority alone."""
    unknown = Agent(client_id=str(uuid.uuid4()), credentials={"secret": secrets.token_urlsafe(), "key": key_pair()[0]})
    logged = len(company.authority.log.read_text())
    company.closed.received.clear()
    tasks = []
    for kind in KINDS:
        tasks += [
            company.task(company.plain, kind, company.reader, "show_customer", "delete_customer"),
            company.task(company.plain, kind, company.former, "show_customer"),
            company.task(company.example, kind, company.deleter, "show_customer", "delete_customer", "show_customer"),
            company.task(company.example, kind, company.reader, "show_customer", "delete_customer"),
            company.task(company.example, kind, company.stranger, "show_customer"),
            company.task(company.closed.url, kind, unknown),
        ]
    tasks += [
        Task(server=company.closed.url, issuer="", kind=kind, client_id=unknown.client_id, credential=credential)
        for kind, credential in unknown.credentials.items()
    ]
    told = ask(tasks)
    for kind, answers in zip(KINDS, (told[:6], told[6:12]), strict=True):
        calls_tools(client, kind, company, answers[:2], record_verdict)
        asks_for_more(client, company, answers[2:5], record_verdict)
        assert "invalid_client" in answers[5][0], answers
    assert ["invalid_client" in answer for (answer,) in told[12:]] == [True, True], told
    keeps_credentials(client, company, unknown, company.authority.log.read_text()[logged:], record_verdict)


def calls_tools(client: Client, kind: str, company: Company, told: list[list[str]], record: RecordVerdict) -> None:
    (shown, missing), (ended,) = told
    assert shown == f"Customer 42, asked for by {company.reader.client_id}"
    assert "does not allow customers:delete" in missing
    assert "unauthorized_client" in ended
    setting = SETTINGS[client][kind]
    tried = {"secret": MCP_TOKEN_BY_SECRET, "key": MCP_TOKEN_BY_KEY}[kind]
    record(client, tried, f"calls a tool (`{setting}`); reports a missing action, and `unauthorized_client`")


def asks_for_more(client: Client, company: Company, told: list[list[str]], record: RecordVerdict) -> None:
    """The token of the first call allows customers:read alone. The second call gets 403, and the client asks for more.

    The npm package ignores the scope of a challenge. It asks for all that is delegated, from the beginning.
    """
    shown = f"Customer 42, asked for by spiffe://authsec.internal/agent/{company.deleter.client_id}"
    of_deleter, (read, refused), (unknown,) = told
    assert of_deleter == [shown, "Customer 42 is gone", shown]
    assert read.startswith("Customer 42, asked for by ")
    assert refused.startswith("refused: ")
    steps_up = client is not MCP_NPM
    assert ("invalid_scope" if steps_up else "403 after trying upscoping") in refused
    assert "invalid_target" in unknown
    asks = (
        "asks for more actions after a 403; reports `invalid_scope`" if steps_up else "asks for all that is delegated"
    )
    record(client, MCP_TOOLS, f"calls tools; {asks}; reports `invalid_target`")


def keeps_credentials(client: Client, company: Company, unknown: Agent, log: str, record: RecordVerdict) -> None:
    """The server has received no credential, and the authority's log has none."""
    assert company.closed.has_received("GET /.well-known/oauth-protected-resource/mcp")
    words = {unknown.client_id, "authorization:", "client_assertion", "eyJ"}
    for credential in unknown.credentials.values():
        words |= {credential, base64.b64encode(f"{unknown.client_id}:{credential}".encode()).decode()}
    assert [word for word in words if company.closed.has_received(word)] == []
    requests = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    refused = [each for each in requests if each.get("route") == "/oauth/token" and each["status"] == 401]
    assert len(refused) == 4 * (2 if client is MCP_NPM else 1)  # the TypeScript SDK repeats it after `invalid_client`
    for word in (words - {"authorization:"}) | {"Basic"}:
        assert word not in log
    for tried in (MCP_SECRET, MCP_KEY):
        record(client, tried, "asks the authority, which refuses; the MCP server receives no credential")


@pytest.mark.soak
@pytest.mark.parametrize("client", each([MCP_NPM, MCP_2]))
def test_the_code_of_connect_lists_the_tools_of_a_protected_server(
    client: Client, company: Company, request: pytest.FixtureRequest, tmp_path: Any
) -> None:
    (tmp_path / "key").write_text(company.reader.credentials["key"])
    (tmp_path / "secret").write_text(f"{company.reader.credentials['secret']}\n")
    for algorithm in ("ES256", ""):
        code = OAuthClient(
            issuer=company.authority.url,
            client_id=company.reader.client_id,
            key_file=str(tmp_path / "key"),
            secret_file=str(tmp_path / "secret"),
            algorithm=algorithm,
            has_secret=True,
            servers=(company.plain,),
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
        assert "show_customer" in done.stdout, done.stderr
        assert "delete_customer" in done.stdout
