"""Agents of LangChain 1 whose tools are given tokens: a scripted model, a real small authority."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from authsec import AuthenticationError, ConfigError, DelegationDenied, ServerError
from authsec.testing import ThrowawayAuthority
from authsec_langchain import AuthsecClient, AuthsecMiddleware, adelegation_token, delegation_token
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain.tools import ToolRuntime
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, tool

from .scripted import SCOPES, ScriptedModel

ASK = {"messages": [("user", "Get customer 42.")]}


def invoke(agent: Any) -> list[ToolMessage]:
    return [message for message in agent.invoke(ASK)["messages"] if isinstance(message, ToolMessage)]


def ainvoke(agent: Any) -> list[ToolMessage]:
    answer = asyncio.run(agent.ainvoke(ASK))
    return [message for message in answer["messages"] if isinstance(message, ToolMessage)]


both_ways = pytest.mark.parametrize("run", [invoke, ainvoke])


class OfAClass(BaseTool):
    """A tool that is no decorated function."""

    name: str = "fetch_customer"
    description: str = "Fetch a customer's record."

    def _run(self, customer_id: str) -> str:
        return used(customer_id, delegation_token())


def used(customer_id: str, token: str) -> str:
    USED.append(token)
    return f"customer {customer_id}"


USED: list[str] = []
STARTED: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_used() -> None:
    USED.clear()
    STARTED.clear()


@tool
def fetch_customer(customer_id: str) -> str:
    """Fetch a customer's record."""
    STARTED.append(customer_id)
    return used(customer_id, delegation_token())


@tool("fetch_customer")
async def afetch_customer(customer_id: str) -> str:
    """Fetch a customer's record."""
    return used(customer_id, await adelegation_token())


@tool("fetch_customer")
def fetch_with_runtime(customer_id: str, runtime: ToolRuntime) -> str:
    """Fetch a customer's record."""
    assert runtime.state["messages"]
    return used(customer_id, delegation_token())


@pytest.mark.parametrize(
    ("made", "run"),
    [
        (fetch_customer, invoke),
        (fetch_customer, ainvoke),
        (afetch_customer, ainvoke),
        (fetch_with_runtime, invoke),
        (OfAClass(), invoke),
        (OfAClass(), ainvoke),
    ],
)
def test_a_tool_that_is_named_takes_a_token_for_its_actions(
    made: Any, run: Any, make_agent: Any, client: AuthsecClient, authsec_authority: ThrowawayAuthority
) -> None:
    agent, model = make_agent(made)
    (answer,) = run(agent)
    assert (answer.content, answer.status) == ("customer 42", "success")
    assert [asked.scope for asked in authsec_authority.asked] == ["customers:read"]
    assert [client.get_token("customers:read").value] == USED
    assert [list(shown["properties"]) for shown in model.shown] == [["customer_id"]]


def test_each_tool_has_its_own_and_others_have_none(make_agent: Any, authsec_authority: ThrowawayAuthority) -> None:
    @tool
    def delete_customer(customer_id: str) -> str:
        """Delete a customer."""
        return used(customer_id, delegation_token())

    @tool
    def weather(customer_id: str) -> str:
        """What the weather is."""
        with pytest.raises(ConfigError, match="Name the tool in AuthsecMiddleware") as caught:
            delegation_token()
        return caught.value.reason

    scopes = {"fetch_customer": "customers:read", "delete_customer": "customers:delete"}
    agent, _ = make_agent(fetch_customer, delete_customer, weather, scopes=scopes, resource="https://crm.example.com")
    assert [answer.content for answer in invoke(agent)] == ["customer 42", "customer 42", "no_tool_call"]
    assert {(asked.scope, asked.resource) for asked in authsec_authority.asked} == {
        (scope, ("https://crm.example.com",)) for scope in scopes.values()
    }
    assert len(set(USED)) == 2
    with pytest.raises(ConfigError):
        delegation_token()


def test_what_a_tool_starts_by_to_thread_has_the_token_and_a_thread_of_its_own_has_none(make_agent: Any) -> None:
    @tool("fetch_customer")
    async def fetch(customer_id: str) -> str:
        """Fetch a customer's record."""
        failed: list[ConfigError] = []

        def alone() -> None:
            with pytest.raises(ConfigError) as caught:
                delegation_token()
            failed.append(caught.value)

        thread = threading.Thread(target=alone)
        thread.start()
        thread.join()
        assert "its own threads" in str(failed[0])
        return used(customer_id, await asyncio.to_thread(delegation_token))

    agent, _ = make_agent(fetch)
    assert ainvoke(agent)[0].content == "customer 42"


# --- denials -----------------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("reason", ["delegation_ended", "client_disabled"])
def test_a_denial_is_the_tools_answer_and_the_run_goes_on(
    reason: str, run: Any, make_agent: Any, deny: Callable[..., None]
) -> None:
    deny(reason, "Ask for a new delegation.")
    agent, model = make_agent(fetch_customer)
    (answer,) = run(agent)
    assert (answer.status, answer.name, answer.tool_call_id) == ("error", "fetch_customer", "call-fetch_customer")
    assert "Ask for a new delegation." in answer.content
    assert "Retrying will not help" in answer.content
    assert answer.content in model.read[-1]
    assert STARTED == []


@both_ways
def test_a_denial_is_raised_where_that_is_chosen(run: Any, make_agent: Any, deny: Callable[..., None]) -> None:
    deny("delegation_ended")
    agent, _ = make_agent(fetch_customer, on_denied="raise")
    with pytest.raises(DelegationDenied) as caught:
        run(agent)
    assert caught.value.reason == "delegation_ended"
    deny("attestation_invalid")
    with pytest.raises(AuthenticationError):
        run(make_agent(fetch_customer, on_denied="raise")[0])


@both_ways
def test_an_authority_that_is_away_decides_nothing(run: Any, make_agent: Any, deny: Callable[..., None]) -> None:
    deny("unavailable")
    with pytest.raises(ServerError):
        run(make_agent(fetch_customer)[0])


def test_a_denial_in_the_middle_of_a_call_is_told_as_well(make_agent: Any, client: AuthsecClient, deny: Any) -> None:
    @tool("fetch_customer")
    def fetch(customer_id: str) -> str:
        """Fetch a customer's record."""
        client.invalidate(delegation_token())
        deny("delegation_ended")
        return delegation_token()

    (answer,) = invoke(make_agent(fetch)[0])
    assert "have expired or were revoked" in answer.content


@both_ways
@pytest.mark.parametrize("status", [401, 403])
def test_the_refusal_of_an_api_is_told_with_its_reason(
    status: int, run: Any, make_agent: Any, authsec_authority: ThrowawayAuthority
) -> None:
    challenge = 'Bearer error="insufficient_scope", scope="customers:delete"'
    response = SimpleNamespace(status_code=status, headers={"WWW-Authenticate": challenge})

    class HTTPError(Exception):
        def __init__(self) -> None:
            super().__init__("refused")
            self.response = response

    @tool("fetch_customer")
    def fetch(customer_id: str) -> str:
        """Fetch a customer's record."""
        used(customer_id, delegation_token())
        raise HTTPError

    agent, _ = make_agent(fetch)
    (answer,) = run(agent)
    assert (
        f"The API answered {status} (insufficient_scope). The call needs the action customers:delete." in answer.content
    )
    make_agent(fetch_customer)[0].invoke(ASK)
    assert (USED[0] != USED[1]) == (status == 401), "after a 401 the next call uses a new token, and only then"
    response.status_code = 500
    with pytest.raises(HTTPError):
        run(make_agent(fetch)[0])


def test_other_middleware_sees_the_tools_own_exceptions(client: AuthsecClient) -> None:
    tries: list[str] = []

    @tool("fetch_customer")
    def fetch(customer_id: str) -> str:
        """Fetch a customer's record."""
        tries.append(delegation_token())
        if len(tries) < 3:
            raise ConnectionError("down")
        return "customer 42"

    retry = ToolRetryMiddleware(retry_on=(ConnectionError,), initial_delay=0, jitter=False)
    for middleware in ([AuthsecMiddleware(client, SCOPES), retry], [retry, AuthsecMiddleware(client, SCOPES)]):
        tries.clear()
        model = ScriptedModel(names=("fetch_customer",))
        agent = create_agent(model, [fetch], middleware=middleware)
        assert [answer.content for answer in invoke(agent)] == ["customer 42"]
        assert len(tries) == 3


# --- as an object ------------------------------------------------------------------------------------------------


def test_an_agent_takes_one_for_each_api(client: AuthsecClient, authsec_authority: ThrowawayAuthority) -> None:
    one = AuthsecMiddleware(client, {"fetch_customer": None}, resource="crm")
    other = AuthsecMiddleware(client, {"fetch_order": None}, resource="shop")
    agent = create_agent(ScriptedModel(names=("fetch_customer",)), [fetch_customer], middleware=[one, other])
    invoke(agent)
    assert [(asked.scope, asked.resource) for asked in authsec_authority.asked] == [(None, ("crm",))]
    assert one.name == "AuthsecMiddleware(fetch_customer)"


@pytest.mark.parametrize(
    ("tools", "how", "reason"),
    [
        ({}, {}, "tools_missing"),
        (["fetch_customer"], {}, "tools_missing"),
        ({"fetch_customer": "everything"}, {}, "invalid_scope"),
        ({"fetch_customer": None}, {"on_denied": "ignore"}, "on_denied_invalid"),
    ],
)
def test_what_cannot_work_is_refused_at_once(tools: Any, how: Any, reason: str, client: AuthsecClient) -> None:
    with pytest.raises(ConfigError) as caught:
        AuthsecMiddleware(client, tools, **how)
    assert caught.value.reason == reason


# --- what a tool returns -----------------------------------------------------------------------------------------


def returned(what: Any, make_agent: Any) -> Any:
    """What a tool's artifact has become."""

    @tool("fetch_customer", response_format="content_and_artifact")
    def fetch(customer_id: str) -> tuple[str, Any]:
        """Fetch a customer's record."""
        return "fetched", what

    (answer,) = invoke(make_agent(fetch)[0])
    return answer.artifact


def test_what_holds_no_token_stays_what_it_is(make_agent: Any) -> None:
    kept = OrderedDict(a=[1, (2.0, None)], b=SimpleNamespace(c={"d"}), e=b"f", g=OfAClass)
    assert returned(kept, make_agent) is kept
    circle: list[Any] = []
    circle.append(circle)
    assert returned(circle, make_agent) is circle


def test_what_is_too_large_to_be_searched_becomes_text(make_agent: Any) -> None:
    many = SimpleNamespace(objects=[object() for _ in range(10_001)])
    assert returned(many, make_agent) == str(many)
    rows = [{"customer": number} for number in range(10_001)]
    assert returned(rows, make_agent) == rows


@both_ways
def test_a_misspelt_tool_is_named_before_the_model_is_asked(
    run: Callable[[Any], list[ToolMessage]], client: Any
) -> None:
    model = ScriptedModel(names=("fetch_customer",))
    agent = create_agent(model, [fetch_customer], middleware=[AuthsecMiddleware(client, {"fetch_custmoer": None})])
    with pytest.raises(ConfigError, match=r"'fetch_custmoer'.* the nearest is 'fetch_customer'") as refused:
        run(agent)
    assert refused.value.reason == "tool_unknown"
    assert not model.read


def test_a_tool_that_another_agent_has_is_no_misspelling(client: Any) -> None:
    model = ScriptedModel(names=("fetch_customer",))
    scopes = SCOPES | {"fetch_customers": "customers:read", "send_mail": None}
    (told,) = invoke(create_agent(model, [fetch_customer], middleware=[AuthsecMiddleware(client, scopes)]))
    assert told.content == "customer 42"
