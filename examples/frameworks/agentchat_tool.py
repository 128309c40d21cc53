"""An agent of autogen-agentchat reads a customer from an API, with a token that its model never sees.

Runs with `autogen-agentchat>=0.7`, `autogen-ext[openai]>=0.7` and requests. Set:

    AUTHSEC_BASE_URL, AUTHSEC_AGENT_CLIENT_ID   the authority's address and the agent's id
    AUTHSEC_AGENT_KEY_FILE                      the agent's private key; an unattested agent needs no key
    DOWNSTREAM_URL                              the API's address; `uv run authsec demo` prints one to try
    OPENAI_API_KEY                              the model's API key; optional: OPENAI_MODEL, OPENAI_BASE_URL
"""

import asyncio
import os

import requests
from authsec import AuthSecClient
from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient

authsec = AuthSecClient.from_env_or_exit("DOWNSTREAM_URL")  # also reads AUTHSEC_BASE_URL and AUTHSEC_AGENT_CLIENT_ID
API = os.environ["DOWNSTREAM_URL"]


@authsec.delegated(scope="customers:read", on_denied="tell_model")
def fetch_customer(customer_id: str, *, delegation_token: str) -> str:
    """Fetch a customer's record."""
    headers = {"Authorization": f"Bearer {delegation_token}"}
    response = requests.get(f"{API}/customers/{customer_id}", headers=headers, timeout=5)
    response.raise_for_status()
    return response.text


async def main() -> None:
    model = OpenAIChatCompletionClient(model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"))
    agent = AssistantAgent("assistant", model, tools=[fetch_customer], reflect_on_tool_use=True)
    result = await agent.run(task="Who is customer 42?")
    print(result.messages[-1].to_text())
    await model.close()


asyncio.run(main())
