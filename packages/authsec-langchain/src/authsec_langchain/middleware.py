"""The middleware for agents of LangChain 1: the named tools can get tokens, and a denial need not abort the run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, Literal

from authsec import AuthSecClient, ConfigError
from authsec.denials import denial_text
from authsec.tokens import TokenRequest
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ToolCallRequest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langgraph.types import Command

from authsec_langchain.calls import ToolCall
from authsec_langchain.guarded import guarded

Names = str | Sequence[str] | None
Outcome = ToolMessage | Command[Any]

_ALIKE: Final = 0.8  # similarity from which a name is treated as misspelt


class AuthsecMiddleware(AgentMiddleware[Any, Any, Any]):
    """Middleware for `create_agent` that lets the named tools get delegation tokens.

    Use: `create_agent(…, middleware=[AuthsecMiddleware(client, {"fetch_customer": "customers:read"})])`.

    `tools` maps the name of each tool that gets tokens to its actions; None means everything that is delegated.
    Such a tool calls `delegation_token()`. The arguments of the tool never contain the token, and the middleware
    removes the token from results and exceptions. `resource`, as in `AuthSecClient.get_token`, applies to all of
    these tools.

    If the authority denies the token, the tool does not start. With `on_denied="tell_model"` the model reads the
    reason, and the run continues. The same happens if the tool's API answers 401 or 403. With `"raise"` the run
    ends with the error. If the authority or the API is unavailable, the middleware always raises the error.

    Before the model is called, the middleware checks each name that no tool has. Raises `ConfigError` if the name
    is similar to the name of a tool without tokens. Middleware that removes tools must come after this one:
    otherwise a removed tool looks misspelt.
    """

    def __init__(
        self,
        client: AuthSecClient,
        tools: Mapping[str, Names],
        *,
        resource: Names = None,
        on_denied: Literal["tell_model", "raise"] = "tell_model",
    ) -> None:
        super().__init__()
        if not isinstance(tools, Mapping) or not tools:
            raise ConfigError(
                "AuthsecMiddleware needs the names of the tools that get tokens, with their actions, as in "
                "AuthsecMiddleware(client, {'fetch_customer': 'customers:read'}).",
                reason="tools_missing",
            )
        if on_denied not in {"tell_model", "raise"}:
            raise ConfigError("on_denied must be 'tell_model' or 'raise'.", reason="on_denied_invalid")
        self._client = client
        self._wanted = {name: TokenRequest.of(scope, resource) for name, scope in tools.items()}
        self._tells_model = on_denied == "tell_model"
        self._seen: set[str] = set()  # the names of all tools that an agent had in any model call

    @property
    def name(self) -> str:
        """Return a name that lists the tools, because LangChain takes two of the same name for the same middleware."""
        return f"AuthsecMiddleware({', '.join(sorted(self._wanted))})"

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]) -> Any:
        """Check the names of the tools, then call the model. Raises `ConfigError` for a misspelt name.

        The check happens here, because the middleware does not know the agent's tools before.
        """
        self._check_names(request)
        return handler(request)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[Any]]
    ) -> Any:
        """Do the same as `wrap_model_call`, for agents that run by `ainvoke` and `astream`."""
        self._check_names(request)
        return await handler(request)

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Outcome]) -> Outcome:
        """Run the tool. A tool named in `tools` can call `delegation_token()`."""
        call = self._call(request)
        if call is None:
            return handler(request)
        try:
            call.token()
            return handler(_given(request, call))
        except Exception as error:  # noqa: BLE001 - `_told` raises every error that is not a denial
            return self._told(request, call, error)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Outcome]]
    ) -> Outcome:
        """Do the same as `wrap_tool_call`, for agents that run by `ainvoke` and `astream`."""
        call = self._call(request)
        if call is None:
            return await handler(request)
        try:
            await call.atoken()
            return await handler(_given(request, call))
        except Exception as error:  # noqa: BLE001 - `_told` raises every error that is not a denial
            return self._told(request, call, error)

    def _check_names(self, request: ModelRequest[Any]) -> None:
        """Raise `ConfigError` for a misspelt name: there is no such tool, but a tool with a similar name."""
        there = {name for tool in request.tools if (name := _name(tool))}
        self._seen |= there & self._wanted.keys()
        for name in sorted(self._wanted.keys() - self._seen):
            if nearest := get_close_matches(name, sorted(there - self._wanted.keys()), n=1, cutoff=_ALIKE):
                raise ConfigError(
                    f"AuthsecMiddleware names a tool {name!r}, which this agent does not have; the nearest is "
                    f"{nearest[0]!r}, which would get no token. Use the tool's name as the model sees it.",
                    reason="tool_unknown",
                )

    def _call(self, request: ToolCallRequest) -> ToolCall | None:
        wanted = self._wanted.get(request.tool_call["name"])
        return None if wanted is None else ToolCall(client=self._client, wanted=wanted)

    def _told(self, request: ToolCallRequest, call: ToolCall, error: Exception) -> ToolMessage:
        """Return the denial as the tool's answer. Raise any error that is not a denial."""
        text = denial_text(error, call.handed_out) if self._tells_model else None
        if text is None:
            raise error
        asked = request.tool_call
        return ToolMessage(content=text, name=asked["name"], tool_call_id=asked["id"], status="error")

    def __repr__(self) -> str:
        return f"{self.name} of {self._client!r}"


def _name(tool: BaseTool | dict[str, Any]) -> str:
    """Return the name of the tool. A provider's own tool is a dictionary, and may have no name."""
    return str(tool.get("name", "")) if isinstance(tool, dict) else tool.name


def _given(request: ToolCallRequest, call: ToolCall) -> ToolCallRequest:
    """Return the request with a guarded copy of the tool. For an unknown tool, LangChain reports the error itself."""
    return request if request.tool is None else request.override(tool=guarded(request.tool, call))
