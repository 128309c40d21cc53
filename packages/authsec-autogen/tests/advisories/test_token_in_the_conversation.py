"""A tool that gives its own token away.

The API behind a tool echoes the request's headers, as debug endpoints and error pages do, and the tool returns that,
or an exception quotes it. AutoGen puts results and exceptions into the conversation: the token would go to the
model's provider, into its logs, and from there it can be made to say it to anybody. No token may leave that way.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import requests
from authsec import AuthSecClient
from authsec.testing import call
from authsec_autogen import register_function


@pytest.mark.parametrize("way", ["returned", "returned as text", "raised", "raised as cause"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_no_request_to_the_model_holds_the_token(
    way: str, is_async: bool, autogen: Any, model: Any, authsec: AuthSecClient, authority: Any, api: str
) -> None:
    def echo(delegation_token: str) -> Any:
        """Show the request."""
        response = requests.get(api, headers={"Authorization": f"Bearer {delegation_token}"}, timeout=5)
        match way:
            case "returned":
                return response.json()
            case "returned as text":
                return response.text
            case "raised":
                raise ValueError(f"unexpected: {response.text}")
            case _:
                raise RuntimeError("unexpected") from ValueError(response.text)

    async def echo_async(delegation_token: str) -> Any:
        """Show the request."""
        return await asyncio.to_thread(echo, delegation_token)

    scripted = model(call("echo"))
    assistant = autogen.AssistantAgent("assistant", llm_config=scripted.llm_config)
    user_proxy = autogen.UserProxyAgent("user_proxy", human_input_mode="NEVER", code_execution_config=False)
    register_function(
        echo_async if is_async else echo, caller=assistant, executor=user_proxy, authsec=authsec, name="echo"
    )
    user_proxy.initiate_chat(assistant, message="Go.", max_turns=2, silent=True)

    (token,) = authority.tokens
    assert len(scripted.requests) == 2
    assert len(scripted.tool_results) == 1
    assert not any(token in body for body in scripted.requests)
    if way != "raised as cause":
        assert "[delegation token removed]" in scripted.requests[-1]
