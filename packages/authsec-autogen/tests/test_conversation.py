"""Real AutoGen conversations: two agents of the classic API, a scripted model, real sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import pydantic
import pytest
import requests
from authsec import AuthSecClient
from authsec.testing import call, say
from authsec_autogen import register_function
from fake_authority import refused

pytestmark = pytest.mark.usefixtures("autogen")


def agents(model: Any) -> tuple[Any, Any]:
    import autogen  # not before a test runs: see the fixture

    assistant = autogen.AssistantAgent("assistant", llm_config=model.llm_config)
    user_proxy = autogen.UserProxyAgent(
        "user_proxy",
        human_input_mode="NEVER",
        code_execution_config=False,
        is_termination_msg=lambda message: "TERMINATE" in str(message.get("content") or ""),
    )
    return assistant, user_proxy


def start_sync(user_proxy: Any, assistant: Any) -> None:
    user_proxy.initiate_chat(assistant, message="Get data for customer 42.", max_turns=4, silent=True)


def start_async(user_proxy: Any, assistant: Any) -> None:
    asyncio.run(user_proxy.a_initiate_chat(assistant, message="Get customer 42.", max_turns=4, silent=True))


both_ways = pytest.mark.parametrize("start", [start_sync, start_async], ids=["initiate_chat", "a_initiate_chat"])


@both_ways
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_tool_calls_the_api_with_a_token(
    start: Any, kind: str, model: Any, authsec: AuthSecClient, authority: Any, api: str
) -> None:
    used: list[str] = []

    def fetch_sync(customer_id: Annotated[str, "The customer's id"], *, delegation_token: str) -> dict[str, Any]:
        """Fetch a customer."""
        used.append(delegation_token)
        response = requests.get(
            f"{api}/customers/{customer_id}", headers={"Authorization": f"Bearer {delegation_token}"}, timeout=5
        )
        response.raise_for_status()
        return {"path": response.json()["path"]}

    async def fetch_async(customer_id: Annotated[str, "The customer's id"], *, delegation_token: str) -> dict[str, Any]:
        """Fetch a customer."""
        return await asyncio.to_thread(fetch_sync, customer_id, delegation_token=delegation_token)

    scripted = model(call("fetch_customer", customer_id="42"), say("Done. TERMINATE"))
    assistant, user_proxy = agents(scripted)
    fetch = fetch_sync if kind == "sync" else fetch_async
    register_function(
        fetch, caller=assistant, executor=user_proxy, authsec=authsec, scope="customers:read", name="fetch_customer"
    )
    start(user_proxy, assistant)

    (shown,) = scripted.tools_shown
    assert shown["name"] == "fetch_customer"
    assert shown["description"] == "Fetch a customer."
    assert list(shown["parameters"]["properties"]) == ["customer_id"]
    assert shown["parameters"]["required"] == ["customer_id"]
    assert [json.loads(result) for result in scripted.tool_results] == [{"path": "/customers/42"}]
    assert used == authority.tokens
    assert authority.token_requests[0].query["scope"] == ["customers:read"]
    assert not any(token in body for token in authority.tokens for body in scripted.requests)


@both_ways
def test_a_refusal_of_the_authority_reaches_the_model_as_a_sentence(
    start: Any, model: Any, authsec: AuthSecClient, authority: Any
) -> None:
    def fetch(customer_id: str, *, delegation_token: str) -> str:
        """Fetch a customer."""
        raise AssertionError("called without a token")

    authority.next_answers = [refused(410, "delegation_ended", "Ask for a new delegation.")]
    scripted = model(call("fetch", customer_id="42"))
    assistant, user_proxy = agents(scripted)
    register_function(fetch, caller=assistant, executor=user_proxy, authsec=authsec)
    start(user_proxy, assistant)

    (result,) = scripted.tool_results
    assert result == (
        "Error: The delegations of this agent have expired or were revoked. Ask for a new delegation. (request req-7) "
        "Retrying will not help."
    )


def test_what_only_the_operator_can_mend_goes_to_the_log_and_not_to_the_model(
    model: Any, authsec: AuthSecClient, authority: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fetch(customer_id: str, *, delegation_token: str) -> str:
        """Fetch a customer."""
        raise AssertionError("called without a token")

    authority.next_answers = [refused(401, "attestation_required")]
    scripted = model(call("fetch", customer_id="42"))
    assistant, user_proxy = agents(scripted)
    register_function(fetch, caller=assistant, executor=user_proxy, authsec=authsec)
    start_sync(user_proxy, assistant)

    assert scripted.tool_results == [
        (
            "Error: This agent is not set up as its authority expects (attestation_required, request req-7). The "
            "agent's log tells its operator what to do. Retrying will not help."
        )
    ]
    assert "looked for" in caplog.text
    assert "looked for" not in "".join(scripted.requests)


def test_a_refusal_of_the_api_reaches_the_model_with_its_reason(
    model: Any, authsec: AuthSecClient, authority: Any, api: str
) -> None:
    def delete(customer_id: str, *, delegation_token: str) -> str:
        """Delete a customer."""
        headers = {"Authorization": f"Bearer {delegation_token}"}
        requests.get(f"{api}/refuse/403", headers=headers, timeout=5).raise_for_status()
        return "deleted"

    scripted = model(call("delete", customer_id="42"))
    assistant, user_proxy = agents(scripted)
    register_function(delete, caller=assistant, executor=user_proxy, authsec=authsec)
    start_sync(user_proxy, assistant)

    assert scripted.tool_results == [
        "Error: The API answered 403 (insufficient_scope). The token lacks customers:delete. "
        "The call needs the action customers:delete."
    ]


def test_a_token_that_the_model_makes_up_is_not_used(model: Any, authsec: AuthSecClient, authority: Any) -> None:
    used: list[str] = []

    def fetch(customer_id: str, *, delegation_token: str) -> str:
        """Fetch a customer."""
        used.append(delegation_token)
        return customer_id

    scripted = model(call("fetch", customer_id="42", delegation_token="made up"))
    assistant, user_proxy = agents(scripted)
    register_function(fetch, caller=assistant, executor=user_proxy, authsec=authsec)
    start_sync(user_proxy, assistant)

    assert len(scripted.tool_results) == 1  # 0.14 drops an argument that the schema does not have, 0.2 refuses it
    assert used == authority.tokens


def test_arguments_arrive_as_the_types_that_they_are_annotated_with(model: Any, authsec: AuthSecClient) -> None:
    class Customer(pydantic.BaseModel):
        number: int

    def greet(customer: Customer, times: int = 1, *, delegation_token: str) -> str:
        """Greet a customer."""
        return f"hello {customer.number + times}"

    scripted = model(call("greet", customer={"number": 41}))
    assistant, user_proxy = agents(scripted)
    greet.__annotations__ |= {"customer": Customer}  # it is local, and this module's annotations are strings
    register_function(greet, caller=assistant, executor=user_proxy, authsec=authsec)
    start_sync(user_proxy, assistant)

    assert scripted.tool_results == ["hello 42"]
