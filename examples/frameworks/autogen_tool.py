"""An agent of classic AutoGen reads a customer from an API, with a token that its model never sees.

Runs with `autogen[openai]>=0.14,<1` and requests. Set:

    AUTHSEC_BASE_URL, AUTHSEC_AGENT_CLIENT_ID   the authority's address and the agent's id
    AUTHSEC_AGENT_KEY_FILE                      the agent's private key; an unattested agent needs no key
    DOWNSTREAM_URL                              the API's address; `uv run authsec demo` prints one to try
    OPENAI_API_KEY                              the model's API key; optional: OPENAI_MODEL, OPENAI_BASE_URL
"""

import os

import autogen
import requests
from authsec import AuthSecClient

authsec = AuthSecClient.from_env_or_exit("DOWNSTREAM_URL")  # also reads AUTHSEC_BASE_URL and AUTHSEC_AGENT_CLIENT_ID
API = os.environ["DOWNSTREAM_URL"]


@authsec.delegated(scope="customers:read", on_denied="tell_model")
def fetch_customer(customer_id: str, *, delegation_token: str) -> str:
    """Fetch a customer's record."""
    headers = {"Authorization": f"Bearer {delegation_token}"}
    response = requests.get(f"{API}/customers/{customer_id}", headers=headers, timeout=5)
    response.raise_for_status()
    return response.text


model = {"model": os.environ.get("OPENAI_MODEL", "gpt-4o-mini"), "base_url": os.environ.get("OPENAI_BASE_URL")}
assistant = autogen.AssistantAgent("assistant", llm_config={"config_list": [model]})
user = autogen.UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
autogen.register_function(fetch_customer, caller=assistant, executor=user, description="Fetch a customer's record.")
result = user.initiate_chat(assistant, message="Who is customer 42?", max_turns=2)
print(result.chat_history[-1]["content"])
