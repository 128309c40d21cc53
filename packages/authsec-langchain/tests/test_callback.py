"""`AuthsecCallbackHandler`: tokens for the tools of a run that no middleware watches."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any
from uuid import uuid4

import pytest
from authsec import ConfigError, DelegationDenied
from authsec.testing import ThrowawayAuthority
from authsec_langchain import AuthsecCallbackHandler, AuthsecClient, adelegation_token, delegation_token
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool


@tool
def fetch_customer(customer_id: str, config: RunnableConfig) -> str:
    """Fetch a customer's record."""
    token = delegation_token()
    assert token not in str(config)
    return token


@tool
async def afetch_customer(customer_id: str) -> str:
    """Fetch a customer's record."""
    return await adelegation_token()


@pytest.mark.parametrize("made", [fetch_customer, afetch_customer])
def test_a_tool_takes_its_token(made: Any, client: AuthsecClient, authsec_authority: ThrowawayAuthority) -> None:
    config: RunnableConfig = {"callbacks": [AuthsecCallbackHandler(client)], "metadata": {}, "tags": []}
    told = [asyncio.run(made.ainvoke({"customer_id": "42"}, config))]
    if made is fetch_customer:
        told.append(made.invoke({"customer_id": "42"}, config))
    assert {client.get_delegation_token()} == set(told)
    assert [asked.scope for asked in authsec_authority.asked] == [None]
    assert config["metadata"] == {}
    assert client.get_delegation_token() not in str(config)


def test_there_is_none_before_and_after(client: AuthsecClient) -> None:
    config: RunnableConfig = {"callbacks": [AuthsecCallbackHandler(client)]}

    @tool
    def nested(customer_id: str) -> str:
        """Call another."""
        fetch_customer.invoke({"customer_id": customer_id})
        return delegation_token()

    @tool
    def failing(customer_id: str) -> str:
        """Fail."""
        raise KeyError(customer_id)

    assert nested.invoke({"customer_id": "42"}, config)
    with pytest.raises(KeyError):
        failing.invoke({"customer_id": "42"}, config)
    with pytest.raises(ConfigError, match="This tool call gets no tokens"):
        delegation_token()


def test_a_denial_is_raised_in_the_tool(client: AuthsecClient, deny: Any) -> None:
    deny("client_disabled")
    with pytest.raises(DelegationDenied):
        fetch_customer.invoke({"customer_id": "42"}, {"callbacks": [AuthsecCallbackHandler(client)]})


def test_tools_whose_end_is_never_told_leave_nothing_behind(client: AuthsecClient) -> None:
    """Not every LangChain that there is says that a tool was cancelled."""
    handler, outer = AuthsecCallbackHandler(client), uuid4()
    held = repr(vars(handler))

    def run() -> None:
        handler.on_tool_start({}, "", run_id=outer)
        for _ in range(10):
            handler.on_tool_start({}, "", run_id=uuid4())
        assert delegation_token()
        handler.on_tool_end("", run_id=outer)
        with pytest.raises(ConfigError, match="This tool call gets no tokens"):
            delegation_token()
        for _ in range(1000):
            handler.on_tool_start({}, "", run_id=uuid4())
        handler.on_tool_error(KeyError(), run_id=outer)  # nobody knows it any more
        with pytest.raises(ConfigError, match="This tool call gets no tokens"):
            delegation_token()

    contextvars.Context().run(run)
    assert repr(vars(handler)) == held
