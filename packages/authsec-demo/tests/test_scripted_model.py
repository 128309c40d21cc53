"""The script decides as a model would, from what it is sent and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from authsec_demo.scripted_model import complete

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {}}}
    for name in ("fetch_secure_data", "delete_customer")
]


def read(request: dict[str, Any]) -> Any:
    """The reply's message, read by the client library that AutoGen uses."""
    from openai.types.chat import ChatCompletion  # not before a test runs: each worker collects this module

    return ChatCompletion.model_validate(complete(request)).choices[0].message


def reply(*messages: dict[str, Any], tools: list[dict[str, Any]] | None = None) -> Any:
    return read({"model": "scripted", "messages": list(messages), "tools": TOOLS if tools is None else tools})


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text, "name": "user_proxy"}


def tool(text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "call_2", "content": text}


@pytest.mark.parametrize(
    ("wish", "called"),
    [
        ("Get data for customer 42.", "fetch_secure_data"),
        ("Please look up Customer 42", "fetch_secure_data"),
        ("Now delete customer 42.", "delete_customer"),
        ("Get customer 42 and delete it", "delete_customer"),
    ],
)
def test_a_wish_becomes_a_call_of_the_tool_for_it(wish: str, called: str) -> None:
    (call,) = reply(user(wish)).tool_calls
    assert call.function.name == called
    assert json.loads(call.function.arguments) == {"customer_id": "42"}


def test_a_question_of_the_frameworks_examples_becomes_a_call_of_their_tool() -> None:
    asked = {"role": "user", "content": [{"type": "text", "text": "Who is "}, {"type": "text", "text": "customer 42?"}]}
    (call,) = reply(asked, tools=[{"type": "function", "function": {"name": "fetch_customer"}}]).tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("fetch_customer", {"customer_id": "42"})


def test_a_text_that_a_framework_has_wrapped_is_read() -> None:
    record = json.dumps({"id": "42", "name": "Ada", "email": "ada@example.com"})
    assert reply(user("Who is customer 42?"), tool(json.dumps({"result": record}))).content.startswith(
        "Customer 42 is Ada"
    )


def test_it_answers_as_the_model_that_was_asked_for() -> None:
    """Clients compare the name with the one that they sent."""
    assert complete({"model": "of-mine", "messages": []})["model"] == "of-mine"


def test_a_call_ends_the_turn_as_a_call_and_text_as_text() -> None:
    calling = complete({"messages": [user("Get data for customer 42.")], "tools": TOOLS})
    speaking = complete({"messages": [user("Hello")], "tools": TOOLS})
    assert calling["choices"][0]["finish_reason"] == "tool_calls"
    assert speaking["choices"][0]["finish_reason"] == "stop"


def test_the_data_of_a_tool_becomes_a_sentence() -> None:
    said = reply(user("Get data for customer 42."), tool('{"id": "42", "name": "Ada", "email": "ada@example.com"}'))
    assert said.content == "Customer 42 is Ada, ada@example.com."
    assert said.tool_calls is None


def test_a_refusal_is_reported_with_what_would_help_and_not_tried_again() -> None:
    refused = "Error: The API answered 403 (insufficient_scope). The call needs the action customers:delete."
    said = reply(user("Now delete customer 42."), tool(refused))
    assert "needs customers:delete" in said.content
    assert "administrator" in said.content
    assert said.tool_calls is None


def test_another_failure_is_reported_as_it_is() -> None:
    assert reply(user("Get customer 42"), tool("Error: no route")).content == "That did not work. no route"


def test_the_conversation_is_over_when_the_user_proxy_has_nothing_to_say() -> None:
    assert reply(user("Get data for customer 42."), user("")).content == "TERMINATE"


@pytest.mark.parametrize(
    ("messages", "tools"),
    [
        ([user("Get data for customer 42.")], []),  # no such tool
        ([user("Get data for customer 42.")], [{"function": {"name": "weather"}}]),
        ([user("Get data for customer 42.")], [{"type": "web_search"}, "x"]),
        ([user("Get data for everybody.")], None),  # which customer?
        ([user("What is the weather?")], None),
        ([tool("[1, 2]")], None),
        ([tool("")], None),
        ([{"role": "user", "content": [{"type": "image_url"}]}], None),
        ([], None),
    ],
)
def test_whatever_it_does_not_know_is_answered_with_text(
    messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
) -> None:
    said = reply(*messages, tools=tools)
    assert said.content
    assert said.tool_calls is None


@pytest.mark.parametrize("request_", [{}, {"messages": None}, {"messages": ["x"]}, {"messages": [{}], "tools": None}])
def test_a_request_of_another_shape_is_answered_with_text(request_: dict[str, Any]) -> None:
    assert read(request_).content
