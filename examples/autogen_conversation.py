"""An AutoGen agent reads a customer from an API, with a token that the model never sees.

Runs on the classic AutoGen API (`import autogen`, from `autogen[openai]>=0.14,<1`). Set:

    AUTHSEC_BASE_URL, AUTHSEC_AGENT_CLIENT_ID   the authority, and which agent this is
    DOWNSTREAM_URL                              the API, as in https://crm.example.com
    OPENAI_API_KEY                              and, for another model or server: OPENAI_BASE_URL, OPENAI_MODEL
"""

import os
from typing import Annotated, Any

import autogen
import requests
from authsec_autogen import AuthSecClient, AuthSecConfig, register_function

authsec = AuthSecClient(
    AuthSecConfig(
        base_url=os.environ["AUTHSEC_BASE_URL"],
        client_id=os.environ["AUTHSEC_AGENT_CLIENT_ID"],
    )
)


def fetch_secure_data(
    customer_id: Annotated[str, "The customer's number"],
    *,
    delegation_token: str,  # filled in at each call; the model neither sees nor sets it
) -> dict[str, Any]:
    """Fetch a customer's record."""
    response = requests.get(
        f"{os.environ['DOWNSTREAM_URL']}/customers/{customer_id}",
        headers={"Authorization": f"Bearer {delegation_token}"},
        timeout=5,
    )
    response.raise_for_status()
    record: dict[str, Any] = response.json()
    return record


def main() -> None:
    """Ask for customer 42."""
    model = {
        "model": os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
        "base_url": os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        "api_key": os.environ["OPENAI_API_KEY"],
    }
    assistant = autogen.AssistantAgent("assistant", llm_config={"config_list": [model]})
    user_proxy = autogen.UserProxyAgent(
        "user_proxy",
        human_input_mode="NEVER",
        code_execution_config=False,  # it runs the registered function, not code that a model writes
        is_termination_msg=lambda message: "TERMINATE" in str(message.get("content") or ""),
    )
    register_function(
        fetch_secure_data,
        caller=assistant,
        executor=user_proxy,
        authsec=authsec,
        scope="customers:read",  # a token for this action only, whatever else is delegated
    )
    user_proxy.initiate_chat(assistant, message="Get data for customer 42.", max_turns=5)


if __name__ == "__main__":
    main()
