"""CAMEL."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from camel.agents import ChatAgent
from camel.models import ModelFactory
from camel.toolkits import FunctionTool
from camel.types import ModelPlatformType
from camel.utils import BaseTokenCounter


class Letters(BaseTokenCounter):
    """In place of the counter that fetches a vocabulary."""

    def count_tokens_from_messages(self, messages: list[Any]) -> int:
        return len(str(messages))

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, token_ids: list[int]) -> str:
        return "".join(map(chr, token_ids))


def ask(function: Callable[..., Any], question: str) -> str:
    model = ModelFactory.create(
        ModelPlatformType.OPENAI_COMPATIBLE_MODEL,
        "gpt-4o-mini",
        url=os.environ["OPENAI_BASE_URL"],
        api_key="none",
        token_counter=Letters(),
    )
    agent = ChatAgent("You look customers up.", model=model, tools=[FunctionTool(function)])
    return str(agent.step(question).msg.content)
