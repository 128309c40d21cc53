"""`register_function`: what it accepts, and what it says when it cannot work."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from authsec import AuthSecClient, ConfigError
from authsec_autogen import ToolError, register_function


class Agent:
    """What `register_function` needs of a classic agent, and no more."""

    def __init__(self) -> None:
        self.for_llm: dict[str, tuple[str, Callable[..., Any]]] = {}
        self.for_execution: dict[str, Callable[..., Any]] = {}

    def register_for_llm(self, *, name: str, description: str) -> Callable[..., Any]:
        return lambda tool: self.for_llm.update({name: (description, tool)})

    def register_for_execution(self, name: str) -> Callable[..., Any]:
        return lambda tool: self.for_execution.update({name: tool})


def fetch(customer_id: str, *, delegation_token: str) -> dict[str, str]:
    """Fetch a customer."""
    return {"id": customer_id, "token_parts": str(delegation_token.count("."))}


def test_both_agents_get_the_tool(authsec: AuthSecClient) -> None:
    caller, executor = Agent(), Agent()
    tool = register_function(fetch, caller=caller, executor=executor, authsec=authsec)
    assert caller.for_llm == {"fetch": ("Fetch a customer.", tool)}
    assert executor.for_execution == {"fetch": tool}
    assert json.loads(tool(customer_id="42")) == {"id": "42", "token_parts": "2"}


def test_name_and_description_can_be_given(authsec: AuthSecClient) -> None:
    agent = Agent()
    register_function(fetch, caller=agent, executor=agent, authsec=authsec, name="get", description="Get one.")
    assert agent.for_llm["get"][0] == "Get one."
    assert list(agent.for_execution) == ["get"]


def test_a_bound_method_is_a_tool(authsec: AuthSecClient) -> None:
    class Crm:
        def fetch(self, customer_id: str, *, delegation_token: str) -> str:
            """Fetch a customer."""
            return customer_id if delegation_token else ""

    agent = Agent()
    tool = register_function(Crm().fetch, caller=agent, executor=agent, authsec=authsec)
    assert tool("42") == "42"


def test_a_function_without_the_parameter_is_refused_with_the_fix(authsec: AuthSecClient) -> None:
    def fetch_secure_data(customer_id: str) -> dict[str, Any]:
        """As in the walk-through."""
        return {}

    with pytest.raises(ConfigError) as caught:
        register_function(fetch_secure_data, caller=Agent(), executor=Agent(), authsec=authsec)
    assert "def fetch_secure_data(customer_id, *, delegation_token: str)" in str(caught.value)


def test_a_tool_that_nothing_describes_is_refused(authsec: AuthSecClient) -> None:
    def silent(*, delegation_token: str) -> str:
        return ""

    with pytest.raises(ConfigError, match="docstring"):
        register_function(silent, caller=Agent(), executor=Agent(), authsec=authsec)


@pytest.mark.parametrize("module", ["autogen_agentchat.agents", "ag2.agent"])
def test_agents_of_another_api_are_refused_with_what_to_do(module: str, authsec: AuthSecClient) -> None:
    other = type("AssistantAgent", (), {"__module__": module})()
    for caller, executor in ((other, Agent()), (Agent(), other)):
        with pytest.raises(ConfigError) as caught:
            register_function(fetch, caller=caller, executor=executor, authsec=authsec)
        assert module.split(".")[0] in str(caught.value)
        assert "@authsec.delegated(" in str(caught.value)
        assert "autogen[openai]>=0.14,<1" in str(caught.value)


@dataclass
class Point:
    x: int


class Model:
    def model_dump(self, mode: str) -> dict[str, str]:
        return {"mode": mode}


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is", "as it is"),
        ({"name": "Zoë"}, '{"name": "Zoë"}'),
        (None, "null"),
        ([Point(1)], '[{"x": 1}]'),
        ({"at": datetime(2026, 5, 21, tzinfo=UTC)}, '{"at": "2026-05-21T00:00:00+00:00"}'),
        ({Decimal("1.50")}, '["1.50"]'),
        (UUID(int=7), '"00000000-0000-0000-0000-000000000007"'),
        (Model(), '{"mode": "json"}'),
    ],
)
def test_results_become_json_text(result: Any, text: str, authsec: AuthSecClient) -> None:
    def give(*, delegation_token: str) -> Any:
        """Give."""
        return result

    tool = register_function(give, caller=Agent(), executor=Agent(), authsec=authsec)
    assert tool() == text


def test_an_error_of_authsec_in_a_tool_stays_what_it_is(authsec: AuthSecClient) -> None:
    def ask_another(*, delegation_token: str) -> str:
        """Ask another agent."""
        raise ConfigError("Not set up.", reason="not_set_up")

    tool = register_function(ask_another, caller=Agent(), executor=Agent(), authsec=authsec)
    with pytest.raises(ConfigError, match="Not set up"):
        tool()


def test_a_result_that_is_not_json_says_so(authsec: AuthSecClient) -> None:
    def give(*, delegation_token: str) -> Any:
        """Give."""
        return Agent()

    tool = register_function(give, caller=Agent(), executor=Agent(), authsec=authsec)
    with pytest.raises(ToolError, match="returned a Agent, which is not JSON"):
        tool()
