"""A protected MCP server. In `mcp` 1.30, the server class is `mcp.server.fastmcp.FastMCP`.

export AUTHSEC_ISSUER="http://127.0.0.1:7468"
export MCP_URL="http://127.0.0.1:8000/mcp"    # the address at which clients reach this server
uvicorn --app-dir examples mcp_server:app
"""

import os

from authsec import TokenVerifier
from authsec.mcp import BearerAuth, ToolActions, identity, protected_by
from mcp.server import MCPServer

verifier = TokenVerifier(os.environ["AUTHSEC_ISSUER"], os.environ["MCP_URL"])
server = MCPServer("crm", **protected_by(verifier))
tools = ToolActions()


@server.tool()
@tools.require("customers:read")
def show_customer(customer: str) -> str:
    return f"Customer {customer}, asked for by {identity().agent}"


@server.tool()
@tools.require("customers:delete")
def delete_customer(customer: str) -> str:
    return f"Customer {customer} is gone"


# `guard` and `scope` let any OAuth client request a token with the actions that a call needs.
app = BearerAuth(tools.guard(server.streamable_http_app()), verifier=verifier, scope=["customers:read"])
