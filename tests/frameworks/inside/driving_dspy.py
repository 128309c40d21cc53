"""DSPy's ReAct. It describes tools in its prompt, and reads the call from the model's text."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import dspy
from authsec.testing import say


def _fields(**fields: str) -> dict[str, Any]:
    written = [f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items()]
    return say("\n\n".join([*written, "[[ ## completed ## ]]"]))


SCRIPT = [
    _fields(next_thought="I look.", next_tool_name="fetch_customer", next_tool_args='{"customer_id": "42"}'),
    _fields(next_thought="I know.", next_tool_name="finish", next_tool_args="{}"),
    _fields(reasoning="I looked.", answer="She is Ada."),
]


def ask(function: Callable[..., Any], question: str) -> str:
    model = dspy.LM("openai/gpt-4o-mini", api_base=os.environ["OPENAI_BASE_URL"], api_key="none", cache=False)
    with dspy.context(lm=model):
        return str(dspy.ReAct("question -> answer", tools=[function], max_iters=2)(question=question).answer)
