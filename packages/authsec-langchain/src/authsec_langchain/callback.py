"""The callback handler: tokens for the tools of a run, where middleware is not possible."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final
from uuid import UUID

from authsec import AuthSecClient
from authsec.tokens import TokenRequest
from langchain_core.callbacks import BaseCallbackHandler

from authsec_langchain.calls import ToolCall, begin, end

_ALL: Final = TokenRequest.of(None, None)
# The most nested tool calls. Some LangChain versions do not report a cancelled call, so old entries must go.
_MOST: Final = 64

_begun: Final[ContextVar[tuple[tuple[UUID, ToolCall | None], ...]]] = ContextVar("authsec_tools_begun", default=())
"""The nested tool calls of this context: the `run_id` of each, and the tool call before it."""


class AuthsecCallbackHandler(BaseCallbackHandler):
    """A callback handler that lets the tools of a run call `delegation_token()`.

    Use: `config={"callbacks": [AuthsecCallbackHandler(client)]}`.

    The token covers everything that is delegated. The client requests the token when a tool calls
    `delegation_token()`. No metadata, tag or input contains the token: a tool that read the token from the run's
    metadata must call `delegation_token()` instead.

    The handler does not remove the token from results of tools. Prefer `AuthsecMiddleware` for agents.
    """

    # LangChain then runs this handler in the context of the tool, also for `ainvoke`.
    run_inline = True

    def __init__(self, client: AuthSecClient) -> None:
        self._client = client

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 - LangChain's signature
        """Make this tool call the current one, so that the tool can call `delegation_token()`."""
        before = begin(ToolCall(client=self._client, wanted=_ALL))
        _begun.set((*_begun.get(), (run_id, before))[-_MOST:])

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 - LangChain's signature
        """Restore the tool call before this one."""
        _ended(run_id)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 - LangChain's signature
        """Restore the tool call before this one."""
        _ended(run_id)

    def __repr__(self) -> str:
        return f"AuthsecCallbackHandler({self._client!r})"


def _ended(run_id: UUID) -> None:
    """End the tool call and every call that began within it. For an unknown `run_id`, no call remains."""
    begun = _begun.get()
    place = next((place for place, (known, _) in enumerate(begun) if known == run_id), None)
    end(None if place is None else begun[place][1])
    _begun.set(() if place is None else begun[:place])
