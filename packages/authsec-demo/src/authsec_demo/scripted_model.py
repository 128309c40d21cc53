"""A scripted model that answers chat completion requests by fixed rules.

The scripted model replaces a language model and sees exactly the same requests. The functions are pure: they
take and return dictionaries. `model_server` serves the model over HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

# The scripted model accepts any name. AutoGen and other frameworks refuse an unknown name, or warn.
NAME: Final = "gpt-4o-mini"

# Each pattern of a request, and the tools for it, in the demo and in examples/frameworks. The first match is used.
_WISHES: Final = (
    (re.compile(r"\b(delete|remove|erase)\b", re.IGNORECASE), ("delete_customer",)),
    (re.compile(r"\b(get|fetch|show|look up|who is)\b", re.IGNORECASE), ("fetch_secure_data", "fetch_customer")),
)
_LACKING: Final = re.compile(r"^Error: .*The call needs the action ([a-z0-9._:-]+)\.")
_CUSTOMER: Final = re.compile(r"\bcustomer (\d+)\b", re.IGNORECASE)


def complete(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a chat completion request in the format of OpenAI's API. The response is never a stream."""
    message = _reply(request)
    finish_reason = "tool_calls" if message.get("tool_calls") else "stop"
    return {
        "id": f"chatcmpl-{len(_messages(request))}",
        "object": "chat.completion",
        "created": 0,
        "model": str(request.get("model") or NAME),
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }


def _reply(request: Mapping[str, Any]) -> dict[str, Any]:
    messages = _messages(request)
    last = messages[-1] if messages else {}
    said = _text(last)
    if last.get("role") == "tool":
        return _say(_report(said))
    if not said:  # AutoGen's user proxy has nothing to add, so the conversation is over
        return _say("TERMINATE")
    tool, customer = _wish(said, _tools(request))
    if tool is None or customer is None:
        return _say("I can look customers up and delete them, by their number.")
    return _call(tool, customer, number=len(messages))


def _wish(said: str, tools: Sequence[str]) -> tuple[str | None, str | None]:
    customer = _CUSTOMER.search(said)
    fitting = next((names for words, names in _WISHES if words.search(said)), ())
    return next((name for name in fitting if name in tools), None), (customer.group(1) if customer else None)


def _report(result: str) -> str:
    """Describe the result of a tool for the person in the conversation.

    The text contains the data, or the reason for a refusal. If an action is not delegated, the text also names
    the remedy.
    """
    lacking = _LACKING.search(result)
    if lacking:
        return (
            f"I am not allowed to do that: the call needs {lacking.group(1)}, which is not delegated to me. "
            "An administrator could delegate this action."
        )
    try:
        data = json.loads(result)
    except ValueError:
        return f"That did not work. {result.removeprefix('Error: ')}"
    if isinstance(data, dict) and isinstance(data.get("result"), str):  # Some frameworks wrap a text in this form.
        return _report(data["result"])
    if isinstance(data, dict) and "deleted" in data:
        return f"Customer {data['deleted']} has been deleted."
    if isinstance(data, dict) and {"id", "name", "email"} <= data.keys():
        return f"Customer {data['id']} is {data['name']}, {data['email']}."
    return f"The tool answered: {result}"


def _say(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text, "refusal": None}


def _call(tool: str, customer: str, *, number: int) -> dict[str, Any]:
    function = {"name": tool, "arguments": json.dumps({"customer_id": customer})}
    call = {"id": f"call_{number}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}


def _messages(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    messages = request.get("messages")
    return [m for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []


def _tools(request: Mapping[str, Any]) -> list[str]:
    tools = request.get("tools")
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    return [str(function.get("name")) for function in functions if isinstance(function, dict)]


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))
