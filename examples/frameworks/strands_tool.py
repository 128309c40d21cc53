"""An agent of Strands reads a customer from an API, with a token that its model never sees.

Runs with `strands-agents[openai]` and requests. Set:

    AUTHSEC_BASE_URL, AUTHSEC_AGENT_CLIENT_ID   the authority's address and the agent's id
    AUTHSEC_AGENT_KEY_FILE                      the agent's private key; an unattested agent needs no key
    DOWNSTREAM_URL                              the API's address; `uv run authsec demo` prints one to try
    OPENAI_API_KEY                              the model's API key; optional: OPENAI_MODEL, OPENAI_BASE_URL
"""

import os

import requests
from authsec import AuthSecClient
from strands import Agent, tool
from strands.models.openai import OpenAIModel

authsec = AuthSecClient.from_env_or_exit("DOWNSTREAM_URL")  # also reads AUTHSEC_BASE_URL and AUTHSEC_AGENT_CLIENT_ID
API = os.environ["DOWNSTREAM_URL"]


@authsec.delegated(scope="customers:read", on_denied="tell_model")
def fetch_customer(customer_id: str, *, delegation_token: str) -> str:
    """Fetch a customer's record."""
    headers = {"Authorization": f"Bearer {delegation_token}"}
    response = requests.get(f"{API}/customers/{customer_id}", headers=headers, timeout=5)
    response.raise_for_status()
    return response.text


model = OpenAIModel(model_id=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"), stream=False)
agent = Agent(model=model, tools=[tool(fetch_customer)], callback_handler=None)
print(agent("Who is customer 42?"))
