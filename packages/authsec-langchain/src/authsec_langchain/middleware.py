"""The middleware for agents of LangChain 1: chosen tools can take tokens, and a denial need not abort the run."""

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

_ALIKE: Final = 0.8  # from here on a name is taken for a misspelling of another


class AuthsecMiddleware(AgentMiddleware[Any, Any, Any]):
    """For `create_agent(…, middleware=[AuthsecMiddleware(client, {"fetch_customer": "customers:read"})])`.

    `tools` says which tools get tokens, by name, and for which actions; None is for all that is delegated. Such a tool
    takes its token by `delegation_token()`. Nothing of it stands in the tool's arguments, and what the tool returns or
    raises is freed of it. `resource` is that of `AuthSecClient.get_token`, for all of these tools.

    A tool whose token is denied is not started. With `on_denied="tell_model"` the model reads why, and the run goes on;
    the same where the API behind the tool answers 401 or 403. With `"raise"` the run ends with the error. An authority
    that is away decides nothing: as an API that is away, it raises.

    A name that no tool has, and that is nearly the name of a tool without tokens, raises `ConfigError` before the model
    is asked. Middleware that leaves tools out comes after this one: a tool that is left out would look misspelt.
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
                "AuthsecMiddleware gives tokens to the tools that are named, with what each may do, as in "
                "AuthsecMiddleware(client, {'fetch_customer': 'customers:read'}).",
                reason="tools_missing",
            )
        if on_denied not in {"tell_model", "raise"}:
            raise ConfigError("on_denied is 'tell_model' or 'raise'.", reason="on_denied_invalid")
        self._client = client
        self._wanted = {name: TokenRequest.of(scope, resource) for name, scope in tools.items()}
        self._tells_model = on_denied == "tell_model"
        self._seen: set[str] = set()  # tools that an agent has had

    @property
    def name(self) -> str:
        """With its tools, as LangChain takes two of one name for the same."""
        return f"AuthsecMiddleware({', '.join(sorted(self._wanted))})"

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]) -> Any:
        """Ask the model, unless one of the names is a misspelt tool's: nothing before this is told which there are."""
        self._check_names(request)
        return handler(request)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[Any]]
    ) -> Any:
        """The same for agents that are run by `ainvoke` and `astream`."""
        self._check_names(request)
        return await handler(request)

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Outcome]) -> Outcome:
        """Run the tool, if it is one of those, with a token at hand."""
        call = self._call(request)
        if call is None:
            return handler(request)
        try:
            call.token()
            return handler(_given(request, call))
        except Exception as error:  # noqa: BLE001 - what is no denial is raised again
            return self._told(request, call, error)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Outcome]]
    ) -> Outcome:
        """The same for agents that are run by `ainvoke` and `astream`."""
        call = self._call(request)
        if call is None:
            return await handler(request)
        try:
            await call.atoken()
            return await handler(_given(request, call))
        except Exception as error:  # noqa: BLE001 - as above
            return self._told(request, call, error)

    def _check_names(self, request: ModelRequest[Any]) -> None:
        """Raises `ConfigError` for a name that no tool has and that is nearly a tool's which is not named."""
        there = {name for tool in request.tools if (name := _name(tool))}
        self._seen |= there & self._wanted.keys()
        for name in sorted(self._wanted.keys() - self._seen):
            if nearest := get_close_matches(name, sorted(there - self._wanted.keys()), n=1, cutoff=_ALIKE):
                raise ConfigError(
                    f"AuthsecMiddleware gives tokens to a tool {name!r}, which this agent does not have; the nearest "
                    f"is {nearest[0]!r}, which would be given none. Name the tool as the model reads its name.",
                    reason="tool_unknown",
                )

    def _call(self, request: ToolCallRequest) -> ToolCall | None:
        wanted = self._wanted.get(request.tool_call["name"])
        return None if wanted is None else ToolCall(client=self._client, wanted=wanted)

    def _told(self, request: ToolCallRequest, call: ToolCall, error: Exception) -> ToolMessage:
        """The denial as the tool's answer. Raises what is none."""
        text = denial_text(error, call.handed_out) if self._tells_model else None
        if text is None:
            raise error
        asked = request.tool_call
        return ToolMessage(content=text, name=asked["name"], tool_call_id=asked["id"], status="error")

    def __repr__(self) -> str:
        return f"{self.name} of {self._client!r}"


def _name(tool: BaseTool | dict[str, Any]) -> str:
    """A tool's name; a provider's own tool is a dictionary, with or without one."""
    return str(tool.get("name", "")) if isinstance(tool, dict) else tool.name


def _given(request: ToolCallRequest, call: ToolCall) -> ToolCallRequest:
    """The request with a tool that can take tokens; where nobody knows the tool, LangChain says so itself."""
    return request if request.tool is None else request.override(tool=guarded(request.tool, call))
