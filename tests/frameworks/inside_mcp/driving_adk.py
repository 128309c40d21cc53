"""Google's ADK, which lists the tools before each turn of the model. Its model asks the scripted one."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.runners import InMemoryRunner
from google.adk.tools.mcp_tool import McpToolset, StreamableHTTPConnectionParams
from google.genai import types


class ChatCompletions(BaseLlm):
    """What ADK needs another package for."""

    async def generate_content_async(self, llm_request: LlmRequest, **_: Any) -> AsyncGenerator[LlmResponse, None]:
        shown = [_message(part) for content in llm_request.contents for part in content.parts or ()]
        tools = [{"type": "function", "function": {"name": name}} for name in llm_request.tools_dict]
        url = f"{os.environ['OPENAI_BASE_URL']}/chat/completions"
        async with httpx2.AsyncClient() as http:
            answer = await http.post(url, json={"messages": shown, "tools": tools})
        said = answer.json()["choices"][0]["message"]
        parts = [
            types.Part.from_function_call(name=one["function"]["name"], args=json.loads(one["function"]["arguments"]))
            for one in said.get("tool_calls", ())
        ]
        yield LlmResponse(content=types.Content(role="model", parts=parts or [types.Part(text=said["content"])]))


def _message(part: types.Part) -> dict[str, Any]:
    if part.function_response is not None:
        return {"role": "tool", "content": json.dumps(part.function_response.response)}
    return {"role": "user", "content": part.text or str(part.function_call)}


@asynccontextmanager
async def asking(mcp_auth: Any, url: str) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """An agent with the server's tools."""
    tools = McpToolset(connection_params=StreamableHTTPConnectionParams(url=url, httpx_client_factory=mcp_auth))
    runner = InMemoryRunner(LlmAgent(name="assistant", model=ChatCompletions(model="scripted"), tools=[tools]))

    async def ask(question: str) -> str:
        session = await runner.session_service.create_session(app_name=runner.app_name, user_id="ada")
        message = types.Content(role="user", parts=[types.Part(text=question)])
        said = ""
        async for event in runner.run_async(user_id="ada", session_id=session.id, new_message=message):
            said = "".join(part.text or "" for part in (event.content.parts if event.content else None) or ()) or said
        return said

    try:
        yield ask
    finally:
        await tools.close()
