"""An agent of Google's Agent Development Kit reads a customer from an API, with a token that its model never sees.

Runs with `google-adk`, `litellm` and requests. Set:

    AUTHSEC_BASE_URL, AUTHSEC_AGENT_CLIENT_ID   the authority's address and the agent's id
    AUTHSEC_AGENT_KEY_FILE                      the agent's private key; an unattested agent needs no key
    DOWNSTREAM_URL                              the API's address; `uv run authsec demo` prints one to try
    OPENAI_API_KEY                              the model's API key; optional: OPENAI_MODEL, OPENAI_BASE_URL
"""

import asyncio
import os

import requests
from authsec import AuthSecClient
from google.adk.agents import Agent
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner

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
    model = LiteLlm(model=f"openai/{os.environ.get('OPENAI_MODEL', 'gpt-4o-mini')}")  # or the name of a Gemini model
    agent = Agent(name="assistant", model=model, tools=[fetch_customer])
    async with InMemoryRunner(agent=agent) as runner:
        events = await runner.run_debug("Who is customer 42?", quiet=True)
    print(events[-1].content.parts[0].text)


asyncio.run(main())
