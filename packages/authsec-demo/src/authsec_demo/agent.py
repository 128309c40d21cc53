"""The agent of the demo: two classic AutoGen agents with two tools that call the sample API.

A developer of an agent writes similar code. Only the demo also prints AutoGen's events.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import autogen
import requests
from authsec_autogen import AuthSecClient, register_function
from autogen.events.agent_events import TextEvent, ToolCallEvent, ToolResponseEvent
from autogen.io.base import IOStream

from authsec_demo.model_server import ModelEndpoint

_ROLE: Final = (
    "You work for customer support. Use the tools. If one is refused, say why and what would help, and do not look "
    "for another way. When nothing is left to do, answer with the word TERMINATE alone."
)
_MOST_REPLIES: Final = 6
_NOT_SPEECH: Final = (None, "", "TERMINATE")  # AutoGen's messages without content

Said = Callable[[str, str], None]


class CustomerSupport:
    """An AutoGen assistant that talks to the model, and a user proxy that runs the tools of the assistant."""

    def __init__(self, authsec: AuthSecClient, *, api_url: str, model: ModelEndpoint) -> None:
        # The price prevents a warning of AutoGen. Without a cache seed, AutoGen writes no cache to the disk.
        entry = {"model": model.name, "base_url": model.base_url, "api_key": model.api_key, "price": [0, 0]}
        self._assistant = autogen.AssistantAgent(
            "assistant", system_message=_ROLE, llm_config={"config_list": [entry], "cache_seed": None}
        )
        self._user_proxy = autogen.UserProxyAgent(
            "user_proxy",
            human_input_mode="NEVER",
            code_execution_config=False,
            max_consecutive_auto_reply=_MOST_REPLIES,
            is_termination_msg=lambda message: "TERMINATE" in str(message.get("content") or ""),
        )
        self._api_url = api_url
        self._register(authsec)

    def _register(self, authsec: AuthSecClient) -> None:
        def fetch_secure_data(customer_id: str, *, delegation_token: str) -> Any:
            """Get the data of the customer with this number."""
            return self._call("GET", customer_id, delegation_token).json()

        def delete_customer(customer_id: str, *, delegation_token: str) -> Any:
            """Delete the customer with this number."""
            self._call("DELETE", customer_id, delegation_token)
            return {"deleted": customer_id}

        caller, executor = self._assistant, self._user_proxy
        register_function(fetch_secure_data, caller=caller, executor=executor, authsec=authsec, scope="customers:read")
        # Without `scope`, the token has all delegated actions, and the API decides.
        register_function(delete_customer, caller=caller, executor=executor, authsec=authsec)

    def _call(self, method: str, customer_id: str, token: str) -> requests.Response:
        url = f"{self._api_url}/customers/{quote(customer_id, safe='')}"  # A model chose the number, so it is quoted.
        answer = requests.request(method, url, headers={"Authorization": f"Bearer {token}"}, timeout=5)
        answer.raise_for_status()
        return answer

    def ask(self, message: str, said: Said) -> list[str]:
        """Send `message` to the agent and run the conversation. Return the results of the tools, as the model saw them.

        `said` is called with the speaker and the text of each line of the conversation.
        """
        stream = _Retold(said)
        with IOStream.set_default(stream):
            self._user_proxy.initiate_chat(self._assistant, message=message, clear_history=False)
        return stream.results


class _Retold(IOStream):
    """An AutoGen output stream that passes each message, tool call and tool result to `said`."""

    def __init__(self, said: Said) -> None:
        self.results: list[str] = []
        self._said = said

    def print(self, *objects: Any, sep: str = " ", end: str = "\n", flush: bool = False) -> None:
        """Print nothing: AutoGen prints only banners and rulers here."""

    def input(self, prompt: str = "", *, password: bool = False) -> str:  # noqa: ARG002 - AutoGen's signature
        """Raise `EOFError`: `human_input_mode` is NEVER, so AutoGen never asks a person."""
        raise EOFError

    def send(self, message: Any) -> None:
        """Pass one event of the conversation to `said`, and collect the results of tools."""
        event = message.content
        if isinstance(message, ToolCallEvent):
            for call in event.tool_calls:
                self._said(event.sender, f"calls {call.function.name}({_arguments(call.function.arguments)})")
        elif isinstance(message, ToolResponseEvent):
            for response in event.tool_responses:
                self.results.append(str(response.content))
                self._said(event.sender, f"returns {response.content}")
        elif isinstance(message, TextEvent) and event.content not in _NOT_SPEECH:
            self._said(event.sender, str(event.content))


def _arguments(text: str | None) -> str:
    try:
        values = json.loads(text or "{}")
    except ValueError:
        values = None
    if not isinstance(values, dict):
        return str(text)
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in values.items())
