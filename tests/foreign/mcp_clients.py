"""Stock MCP clients, each with a list of tasks for one process: to start a client takes longer than most tasks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from ..environments import variables
from .catalogue import MCP_1, MCP_2, Client

# The argument is a list of tasks. Prints the answers of each as JSON; an error is an answer, the last one of its task.
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

class Storage:
    tokens = None
    async def get_tokens(self): return self.tokens
    async def set_tokens(self, tokens): self.tokens = tokens
    async def get_client_info(self): return None
    async def set_client_info(self, client_info): raise AssertionError("it is registered")

def provider_of(server, issuer, kind, client_id, credential):
    registered = {"server_url": server, "storage": Storage(), "client_id": client_id, "issuer": issuer or None}
    if kind == "secret":
        return ClientCredentialsOAuthProvider(client_secret=credential, **registered)
    signing = {"issuer": client_id, "subject": client_id, "signing_key": credential, "signing_algorithm": "ES256"}
    if issuer and http is not getattr(oauth2, "httpx2", None):  # version 1 adds a slash to an issuer without a path
        signing["additional_claims"] = {"aud": issuer}
    jwt = SignedJWTParameters(**signing)
    return PrivateKeyJWTOAuthProvider(assertion_provider=jwt.create_assertion_provider(), **registered)

async def call(answers, tools, server, **registered):
    async with (
        http.AsyncClient(auth=provider_of(server, **registered), trust_env=False) as client,
        streamable_http_client(server, http_client=client) as streams,
        ClientSession(*streams[:2]) as session,
    ):
        await session.initialize()
        for tool in tools:
            answers.append((await session.call_tool(tool, {"customer": "42"})).content[0].text)

def causes(error):
    yield error
    for each in (*getattr(error, "exceptions", ()), error.__cause__, error.__context__):
        if each is not None:
            yield from causes(each)

told = []
for task in json.loads(sys.argv[1]):
    told.append(answers := [])
    try:
        asyncio.run(asyncio.wait_for(call(answers, **task), 20))
    except BaseException as error:
        refused = next((each for each in causes(error) if isinstance(each, OAuthTokenError)), repr(error))
        answers.append(f"refused: {refused}")
print(json.dumps(told))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a client is given: the server's URL, its credential and the credential's issuer, and tools to call.

    Without an `issuer`, nobody has told the client to which authority its credential belongs.
    """

    server: str
    issuer: str
    kind: str
    client_id: str
    credential: str
    tools: tuple[str, ...] = ()


Ask = Callable[[Sequence[Task]], list[list[str]]]


@pytest.fixture
def ask(client: Client, request: pytest.FixtureRequest, tmp_path: Any) -> Ask:
    """Let the client do tasks, one after the other in one process; the answers to each."""

    def answers(tasks: Sequence[Task]) -> list[list[str]]:
        argument = json.dumps([asdict(task) for task in tasks])
        if client is MCP_1:
            done = request.getfixturevalue("foreign_python").run(PYTHON_CLIENT, argument)
        elif client is MCP_2:
            command = [sys.executable, "-c", PYTHON_CLIENT, argument]
            done = subprocess.run(
                command, cwd=tmp_path, env=variables(), capture_output=True, text=True, timeout=60, check=False
            )
        else:
            done = request.getfixturevalue("foreign_node").run("mcp_tools.mjs", argument)
        assert done.stdout, done.stderr
        told: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
        return told

    return answers
