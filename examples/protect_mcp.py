"""A protected MCP server. In `mcp` 1.30, the server class is `mcp.server.fastmcp.FastMCP`.

export AUTHSEC_ISSUER="http://127.0.0.1:7468"
uvicorn --app-dir examples protect_mcp:app
"""

import os

from authsec import TokenVerifier
from authsec.mcp import BearerAuth, protected_by, require
from mcp.server import MCPServer

verifier = TokenVerifier(os.environ["AUTHSEC_ISSUER"], "https://crm.example.com/mcp")
server = MCPServer("crm", **protected_by(verifier))


@server.tool()
def show_customer(customer: str) -> str:
    identity = require("customers:read")
    return f"Customer {customer}, asked for by {identity.agent}"


@server.tool()
def delete_customer(customer: str) -> str:
    require("customers:delete")
    return f"Customer {customer} is gone"


app = BearerAuth(server.streamable_http_app(), verifier=verifier)  # `mcp` itself sends no reason for a refusal.
