"""An agent of the Claude Agent SDK reads a customer from an API, with a token that its model never sees.

Runs with `claude-agent-sdk` and httpx. Set:

    AUTHSEC_BASE_URL, AUTHSEC_AGENT_CLIENT_ID   the authority's address and the agent's id
    AUTHSEC_AGENT_KEY_FILE                      the agent's private key; an unattested agent needs no key
    DOWNSTREAM_URL                              the API's address; `uv run authsec demo` prints one to try
    ANTHROPIC_API_KEY                           the model's API key, or another sign-in of Claude Code
"""

import asyncio
import os
from typing import Any

import httpx
from authsec import AuthSecClient
from claude_agent_sdk import ClaudeAgentOptions, ResultMessage, create_sdk_mcp_server, query, tool

authsec = AuthSecClient.from_env_or_exit("DOWNSTREAM_URL")  # also reads AUTHSEC_BASE_URL and AUTHSEC_AGENT_CLIENT_ID
API = os.environ["DOWNSTREAM_URL"]


@tool("fetch_customer", "Fetch a customer's record.", {"customer_id": str})
@authsec.delegated(scope="customers:read", on_denied="tell_model")
async def fetch_customer(arguments: dict[str, Any], *, delegation_token: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {delegation_token}"}
    async with httpx.AsyncClient(headers=headers, timeout=5) as http:
        response = await http.get(f"{API}/customers/{arguments['customer_id']}")
    response.raise_for_status()
    return {"content": [{"type": "text", "text": response.text}]}


server = create_sdk_mcp_server("crm", tools=[fetch_customer])
options = ClaudeAgentOptions(mcp_servers={"crm": server}, allowed_tools=["mcp__crm__fetch_customer"])


async def main() -> None:
    async for message in query(prompt="Who is customer 42?", options=options):
        if isinstance(message, ResultMessage):
            print(message.result)


if __name__ == "__main__":
    asyncio.run(main())
