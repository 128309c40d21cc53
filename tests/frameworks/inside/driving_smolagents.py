"""smolagents. Its model answers by a tool as well."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from authsec.testing import call
from smolagents import OpenAIModel, ToolCallingAgent, tool

SCRIPT = [call("fetch_customer", customer_id="42"), call("final_answer", answer="She is Ada.")]


def ask(function: Callable[..., Any], question: str) -> str:
    model = OpenAIModel(model_id="gpt-4o-mini", api_base=os.environ["OPENAI_BASE_URL"], api_key="none")
    return str(ToolCallingAgent(tools=[tool(function)], model=model, max_steps=2, verbosity_level=0).run(question))
