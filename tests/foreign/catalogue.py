"""Which stock clients are tried, in which versions, with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..environments import pinned_versions

ROOT = Path(__file__).resolve().parents[2]
PYTHON_PACKAGES = Path(__file__).with_name("packages.txt")
NPM_PACKAGES = Path(__file__).with_name("package.json")
WORKSPACE = ROOT / "pyproject.toml"
FRAMEWORKS = ROOT / "tests" / "frameworks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """`name` selects the client. `pins` has the versions of `packages`.

    `driver` is the framework in tests/frameworks/inside_mcp whose MCP client it is.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    pins: Path
    driver: str = ""

    def versions(self) -> str:
        """The packages with their pinned versions, for the page."""
        pinned = pinned_versions(self.pins)
        return ", ".join(f"`{package}` {pinned[package]}" for package in self.packages)


def _python(package: str, title: str = "") -> Client:
    return Client(name=package, title=title or package, packages=(package,), pins=PYTHON_PACKAGES)


def _npm(*packages: str) -> Client:
    return Client(name=packages[0], title=f"{packages[0]} (npm)", packages=packages, pins=NPM_PACKAGES)


def _framework(title: str, package: str, environment: str, driver: str, mcp: int) -> Client:
    pins = FRAMEWORKS / f"{environment}.txt"
    name = f"{driver.replace('_', '-')}-mcp-{mcp}"
    return Client(name=name, title=title, packages=(package, "mcp"), pins=pins, driver=driver)


PYJWT = _python("pyjwt", "PyJWT")
AUTHLIB = _python("authlib", "Authlib")
JWCRYPTO = _python("jwcrypto")
JOSERFC = _python("joserfc")
PYTHON_JOSE = _python("python-jose")
JOSE_NPM = Client(name="jose-npm", title="jose (npm)", packages=("jose",), pins=NPM_PACKAGES)
REQUESTS_OAUTHLIB = _python("requests-oauthlib")
REQUESTS_OAUTH2CLIENT = _python("requests-oauth2client")
HTTPX_AUTH = _python("httpx-auth")
OPENID_CLIENT = _npm("openid-client")
OAUTH4WEBAPI = _npm("oauth4webapi")
EXPRESS = _npm("express-oauth2-jwt-bearer", "express")
MCP_1 = Client(name="mcp-1", title="MCP Python SDK", packages=("mcp",), pins=PYTHON_PACKAGES)
MCP_2 = Client(name="mcp-2", title="MCP Python SDK", packages=("mcp",), pins=WORKSPACE)
MCP_NPM = Client(name="mcp-npm", title="MCP TypeScript SDK", packages=("@modelcontextprotocol/sdk",), pins=NPM_PACKAGES)
MCP_SESSIONS = (
    _framework("pydantic-ai", "pydantic-ai-slim", "pydantic_ai", "pydantic_ai", 2),
    _framework("OpenAI Agents", "openai-agents", "set_b", "openai_agents", 2),
    _framework("OpenAI Agents", "openai-agents", "mcp_1", "openai_agents", 1),
    _framework("Agent Framework", "agent-framework-core", "set_b", "agent_framework", 2),
    _framework("Google ADK", "google-adk", "mcp_2", "adk", 2),
    _framework("LangChain", "langchain-mcp-adapters", "mcp_1", "langchain", 1),
)
PUBLISHED = tuple(
    _python(name) for name in ("authsec-langchain-sdk", "authsec-autogen", "authsec-llamaindex", "authsec-sdk")
)

VERIFIES = "verify a token"
METADATA = "OAuth, RFC 8414 metadata"
OPENID_METADATA = "OAuth, OpenID metadata"
OAUTH_SECRET = "OAuth, a token by secret"
OAUTH_KEY = "OAuth, a token by key"
OAUTH_WORKLOAD = "OAuth, a token by the workload's token"
OAUTH_DPOP = "OAuth, a bound token (DPoP)"
MCP_SECRET = "MCP, OAuth with a secret"
MCP_KEY = "MCP, OAuth with a key"
MCP_TOOLS = "MCP, more actions after a 403"
MCP_TOKEN_BY_SECRET = "MCP, a token by secret"
MCP_TOKEN_BY_KEY = "MCP, a token by key"
MCP_AUTH = "MCP, `mcp_auth`"
GRANTED = "endpoint, granted"
ENDED = "endpoint, revoked"

TRIED: dict[str, tuple[Client, ...]] = {
    VERIFIES: (PYJWT, AUTHLIB, JOSERFC, JWCRYPTO, PYTHON_JOSE, JOSE_NPM, EXPRESS),
    METADATA: (AUTHLIB, REQUESTS_OAUTHLIB, REQUESTS_OAUTH2CLIENT, OPENID_CLIENT),
    OPENID_METADATA: (OPENID_CLIENT,),
    OAUTH_SECRET: (AUTHLIB, REQUESTS_OAUTHLIB, REQUESTS_OAUTH2CLIENT, HTTPX_AUTH, OPENID_CLIENT, OAUTH4WEBAPI),
    OAUTH_KEY: (AUTHLIB, REQUESTS_OAUTH2CLIENT, OPENID_CLIENT, OAUTH4WEBAPI),
    OAUTH_WORKLOAD: (AUTHLIB, REQUESTS_OAUTH2CLIENT, OPENID_CLIENT, OAUTH4WEBAPI),
    OAUTH_DPOP: (REQUESTS_OAUTH2CLIENT, OPENID_CLIENT),
    MCP_SECRET: (MCP_1, MCP_2, MCP_NPM),
    MCP_KEY: (MCP_1, MCP_2, MCP_NPM),
    MCP_TOKEN_BY_SECRET: (MCP_1, MCP_2, MCP_NPM),
    MCP_TOKEN_BY_KEY: (MCP_1, MCP_2, MCP_NPM),
    MCP_TOOLS: (MCP_1, MCP_2, MCP_NPM),
    MCP_AUTH: (MCP_1, MCP_2, *MCP_SESSIONS),
    GRANTED: PUBLISHED,
    ENDED: PUBLISHED,
}
"""The rows of the page: what is tried, and with which clients."""

CLIENTS = {client.name: client for clients in TRIED.values() for client in clients}


def each(clients: Sequence[Client], *, rarely: Sequence[Client] = ()) -> list[Any]:
    """A test's parameters. `rarely`: only long runs try these. Only `-m frameworks` tries the frameworks."""
    return [
        pytest.param(
            client,
            id=client.name,
            marks=[
                *([pytest.mark.frameworks()] if client in MCP_SESSIONS else []),
                *([pytest.mark.soak] if client in rarely else []),
            ],
        )
        for client in clients
    ]
