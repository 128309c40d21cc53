"""Semantic Kernel. Tools are the functions of a plugin."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import KernelPlugin, kernel_function


def ask(function: Callable[..., Any], question: str) -> str:
    client = AsyncOpenAI(api_key="none", base_url=os.environ["OPENAI_BASE_URL"])
    agent = ChatCompletionAgent(
        service=OpenAIChatCompletion(ai_model_id="gpt-4o-mini", async_client=client),
        name="assistant",
        plugins=[KernelPlugin(name="crm", functions=[kernel_function(function)])],
    )
    return str(asyncio.run(agent.get_response(question)))
