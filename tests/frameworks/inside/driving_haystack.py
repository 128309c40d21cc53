"""Haystack."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import tool


def ask(function: Callable[..., Any], question: str) -> str:
    model = OpenAIChatGenerator(model="gpt-4o-mini", api_base_url=os.environ["OPENAI_BASE_URL"])
    agent = Agent(chat_generator=model, tools=[tool(function)])
    return str(agent.run(messages=[ChatMessage.from_user(question)])["last_message"].text)
