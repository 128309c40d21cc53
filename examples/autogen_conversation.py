"""An AutoGen agent reads a customer from an API, with a token that the model never sees.

Runs on the classic AutoGen API (`import autogen`, from `autogen[openai]>=0.14,<1`). Set:

    AUTHSEC_BASE_URL, AUTHSEC_AGENT_CLIENT_ID   the authority's address and the agent's id
    AUTHSEC_AGENT_KEY_FILE                      the agent's private key; an unattested agent needs no key
    DOWNSTREAM_URL                              the API's address; `uv run authsec demo` prints one to try
    OPENAI_API_KEY                              the model's API key; optional: OPENAI_BASE_URL, OPENAI_MODEL
"""

import os
import sys
from typing import Annotated, Any

import autogen
import openai
import requests
from authsec import ConfigError
from authsec_autogen import AuthSecClient, AuthSecConfig, register_function

NEEDED = {
    "AUTHSEC_BASE_URL": "http://127.0.0.1:7468",
    "AUTHSEC_AGENT_CLIENT_ID": "your-client-id",
    "DOWNSTREAM_URL": "https://your-api",
    "OPENAI_API_KEY": "your-api-key",
}

fetched: list[dict[str, Any]] = []


def fetch_secure_data(
    customer_id: Annotated[str, "The customer's number"],
    *,
    delegation_token: str,  # AuthSec passes the token; the model neither sees nor sets it
) -> dict[str, Any]:
    """Fetch a customer's record."""
    url = os.environ["DOWNSTREAM_URL"]
    try:
        response = requests.get(
            f"{url}/customers/{customer_id}",
            headers={"Authorization": f"Bearer {delegation_token}"},
            timeout=5,
        )
    except requests.ConnectionError:
        said = f"The API at DOWNSTREAM_URL ({url}) does not answer. Does `uv run authsec demo-api` run there?"
        raise ConnectionError(said) from None
    response.raise_for_status()
    record: dict[str, Any] = response.json()
    fetched.append(record)
    return record


def main() -> None:
    """Ask the agent for customer 42."""
    check_environment()
    try:
        authsec = AuthSecClient(
            AuthSecConfig(
                base_url=os.environ["AUTHSEC_BASE_URL"],
                client_id=os.environ["AUTHSEC_AGENT_CLIENT_ID"],
            )
        )
    except ConfigError as error:  # The text names the wrong setting, and the line to write.
        print(error, file=sys.stderr)
        sys.exit(2)
    model = {
        "model": os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
        "base_url": os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1",
        "api_key": os.environ["OPENAI_API_KEY"],
    }
    assistant = autogen.AssistantAgent("assistant", llm_config={"config_list": [model]})
    user_proxy = autogen.UserProxyAgent(
        "user_proxy",
        human_input_mode="NEVER",
        code_execution_config=False,  # runs only registered functions, never code from the model
        is_termination_msg=lambda message: "TERMINATE" in str(message.get("content") or ""),
    )
    register_function(
        fetch_secure_data,
        caller=assistant,
        executor=user_proxy,
        authsec=authsec,
        scope="customers:read",  # The token allows only this action.
    )
    try:
        user_proxy.initiate_chat(assistant, message="Get data for customer 42.", max_turns=5)
    except openai.OpenAIError as error:
        failed = f"failed: {str(error).rstrip('.')}. Does `uv run authsec demo-api` run?"
        if os.environ.get("OPENAI_BASE_URL"):
            sys.exit(f"The model at OPENAI_BASE_URL ({model['base_url']}) {failed}")
        sys.exit(f"OPENAI_BASE_URL is not set, and the model at {model['base_url']} {failed}")
    if not fetched:
        sys.exit("The customer was not fetched. The tool's answer above says why.")


def check_environment() -> None:
    """If variables are missing, print the lines to add, and exit with status 2."""
    missing = [name for name in NEEDED if not os.environ.get(name, "").strip()]
    if not missing:
        return
    lines = "\n".join(f'    export {name}="{NEEDED[name]}"' for name in missing)
    print(
        f"These variables are not set. Add, with your own values:\n\n{lines}\n\n"
        "An agent with a key pair also needs AUTHSEC_AGENT_KEY_FILE. For another model or server, also set "
        "OPENAI_BASE_URL and OPENAI_MODEL.\n"
        "To try this example, run `uv run authsec demo`: it prints values for all variables.\n"
        "With your own authority, `uv run authsec demo-api` prints the values for the API and the model.",
        file=sys.stderr,
    )
    sys.exit(2)


if __name__ == "__main__":
    main()
