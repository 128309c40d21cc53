"""The middleware for agents of LangChain 1: chosen tools can take tokens, and a denial need not abort the run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal

from authsec import AuthenticationError, AuthSecClient, ConfigError, DelegationDenied
from authsec.outgoing.api_errors import api_refusal
from authsec.tokens import TokenRequest
from langchain.agents.middleware import AgentMiddleware, ToolCallRequest
from langchain_core.messages import ToolMessage
from langgraph.types import Command

from authsec_langchain.calls import ToolCall
from authsec_langchain.guarded import guarded

Names = str | Sequence[str] | None
Outcome = ToolMessage | Command[Any]

_DENIED: Final = {401, 403}


class AuthsecMiddleware(AgentMiddleware[Any, Any, Any]):
    """For `create_agent(…, middleware=[AuthsecMiddleware(client, {"fetch_customer": "customers:read"})])`.

    `tools` says which tools get tokens, by name, and for which actions; None is for all that is delegated. Such a tool
    takes its token by `delegation_token()`. Nothing of it stands in the tool's arguments, and what the tool returns or
    raises is freed of it. `resource` is that of `AuthSecClient.get_token`, for all of these tools.

    A tool whose token is denied is not started. With `on_denied="tell_model"` the model reads why, and the run goes on;
    the same where the API behind the tool answers 401 or 403. With `"raise"` the run ends with the error. An authority
    that is away decides nothing: as an API that is away, it raises.
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

    @property
    def name(self) -> str:
        """With its tools, as LangChain takes two of one name for the same."""
        return f"AuthsecMiddleware({', '.join(sorted(self._wanted))})"

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Outcome]) -> Outcome:
        """Run the tool, if it is one of those, with a token at hand."""
        call = self._call(request)
        if call is None:
            return handler(request)
        try:
            call.token()
            return handler(_given(request, call))
        except Exception as error:  # noqa: BLE001 - what is no denial is raised again
            return self._told(request, error)

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
            return self._told(request, error)

    def _call(self, request: ToolCallRequest) -> ToolCall | None:
        wanted = self._wanted.get(request.tool_call["name"])
        return None if wanted is None else ToolCall(client=self._client, wanted=wanted)

    def _told(self, request: ToolCallRequest, error: Exception) -> ToolMessage:
        """The denial as the tool's answer. Raises what is none."""
        text = _denial(error) if self._tells_model else None
        if text is None:
            raise error
        call = request.tool_call
        return ToolMessage(content=text, name=call["name"], tool_call_id=call["id"], status="error")

    def __repr__(self) -> str:
        return f"{self.name} of {self._client!r}"


def _given(request: ToolCallRequest, call: ToolCall) -> ToolCallRequest:
    """The request with a tool that can take tokens; where nobody knows the tool, LangChain says so itself."""
    return request if request.tool is None else request.override(tool=guarded(request.tool, call))


def _denial(error: Exception) -> str | None:
    """What a model is told of a denial; None for errors that are none."""
    match error:
        case DelegationDenied():
            return error.for_model
        case AuthenticationError():
            return str(error)
    refusal = api_refusal(error)
    return refusal.text if refusal is not None and refusal.status in _DENIED else None
