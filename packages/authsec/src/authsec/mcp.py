"""MCP servers of the package `mcp` (1.30 and 2), protected.

    verifier = TokenVerifier(issuer=…, audience="https://crm.example.com/mcp")
    server = MCPServer("crm", **protected_by(verifier))

    @server.tool()
    def show_customer(id: str) -> str:
        require("customers:read")

    app = BearerAuth(server.streamable_http_app(), verifier=verifier)    # of authsec.asgi

The last line is for callers: `mcp` alone gives them no reason, and a 500 while tokens cannot be verified. In `mcp` 1.30
the server is called FastMCP. What `require` refuses reaches the model as the tool's text.
"""

from __future__ import annotations

from typing import Any

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from pydantic import PrivateAttr

from authsec.errors import AgentRequired, ConfigError, InsufficientScope, InvalidToken
from authsec.resource_metadata import ResourceMetadata
from authsec.verifier import VerifiedToken, Verifier

try:
    from mcp.server.mcpserver.exceptions import ToolError
except ModuleNotFoundError:  # mcp 1.30
    from mcp.server.fastmcp.exceptions import ToolError  # type: ignore[import-not-found, no-redef] # of two releases one is there


class AgentToken(AccessToken):
    """The caller of a request, for `mcp`, without the token, which no tool may pass on."""

    _identity: VerifiedToken = PrivateAttr()

    @classmethod
    def of(cls, identity: VerifiedToken, audience: str) -> AgentToken:
        made = cls(
            token="",  # left out on purpose: pydantic shows it in every repr
            client_id=identity.client_id,
            scopes=sorted(identity.permissions),
            expires_at=int(identity.expires_at.timestamp()),
            resource=audience,
            subject=identity.agent,
            claims=dict(identity.claims),
        )
        made._identity = identity
        return made

    @property
    def identity(self) -> VerifiedToken:
        return self._identity


class AgentTokenVerifier:
    """A `mcp.server.auth.provider.TokenVerifier` that stands on ours."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def verify_token(self, token: str) -> AgentToken | None:
        """None is what `mcp` answers with 401. That keys are unavailable is raised, and answered with 500.

        With `BearerAuth` around the server it has been answered with 503 by then.
        """
        try:
            identity = await self._verifier.averify(token)
        except InvalidToken:
            return None  # `mcp` has no place for the reason
        return AgentToken.of(identity, self._verifier.audience)


def protected_by(verifier: Verifier, *actions: str) -> dict[str, Any]:
    """The arguments that protect a server; `actions` are those without which an agent can do nothing with it.

    The verifier's audience must be the server's address, with its path: `mcp` publishes it (RFC 9728).
    """
    if ResourceMetadata.of(verifier.issuers, verifier.audience) is None:
        raise ConfigError(
            "For MCP the audience must be the server's address, like https://crm.example.com/mcp",
            reason="audience_invalid",
        )
    settings = {
        "issuer_url": verifier.issuers[0],  # `mcp` publishes one authority
        "resource_server_url": verifier.audience,
        "required_scopes": list(actions),
        "validate_token_resource": True,  # 1.30 does not know it and ignores it: our verifier has checked by then
    }
    return {"token_verifier": AgentTokenVerifier(verifier), "auth": AuthSettings.model_validate(settings)}


def identity() -> VerifiedToken:
    """The agent that calls the tool; raises `AgentRequired` where there is none, as over stdio."""
    access = get_access_token()
    if not isinstance(access, AgentToken):
        raise AgentRequired
    return access.identity


def require(*actions: str, any_of: bool = False) -> VerifiedToken:
    """The agent that calls the tool, if its token carries all of `actions`, or with `any_of` one of them.

    Otherwise the model reads what is missing and what it can do: `mcp` tells it a ToolError's text, and of other
    exceptions, since version 2, nothing.
    """
    agent = identity()
    try:
        (agent.require_any if any_of else agent.require)(*actions)
    except InsufficientScope as error:
        raise ToolError(f"{error} {error.for_model}") from None
    return agent
