"""An agent of LlamaIndex reads a customer from an API, with a token that its model never sees.

Runs with `llama-index-core`, `llama-index-llms-openai-like` and requests. Set:

    AUTHSEC_BASE_URL, AUTHSEC_AGENT_CLIENT_ID   the authority's address and the agent's id
    AUTHSEC_AGENT_KEY_FILE                      the agent's private key; an unattested agent needs no key
    DOWNSTREAM_URL                              the API's address; `uv run authsec demo` prints one to try
    OPENAI_API_KEY                              the model's API key; optional: OPENAI_MODEL, OPENAI_BASE_URL
"""

import asyncio
import os

import requests
from authsec import AuthSecClient
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai_like import OpenAILike

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
    model = OpenAILike(
        model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
        api_base=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        is_chat_model=True,
        is_function_calling_model=True,
    )
    agent = FunctionAgent(llm=model, tools=[fetch_customer], streaming=False)
    print(await agent.run("Who is customer 42?"))


asyncio.run(main())
