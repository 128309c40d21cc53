"""An agent's model that says what its script says, and keeps what it was shown and sent."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

SCOPES = {"fetch_customer": "customers:read"}


class ScriptedModel(BaseChatModel):
    """Wants the tools `names` to be called, and is done. `read` is all that it was sent, `shown` the tools' schemas."""

    names: tuple[str, ...]
    _read: list[str] = PrivateAttr(default_factory=list)
    _shown: list[dict[str, Any]] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def read(self) -> list[str]:
        return self._read

    @property
    def shown(self) -> list[dict[str, Any]]:
        return self._shown

    def bind_tools(self, tools: Any, **_: Any) -> ScriptedModel:
        self._shown = [tool.tool_call_schema.model_json_schema() for tool in tools]
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self._read.append(str([message.model_dump_json(exclude={"artifact"}) for message in messages]))
        wanted = [{"name": name, "args": {"customer_id": "42"}, "id": f"call-{name}"} for name in self.names]
        answer = AIMessage("", tool_calls=wanted) if len(self._read) == 1 else AIMessage("Done.")
        return ChatResult(generations=[ChatGeneration(message=answer)])
