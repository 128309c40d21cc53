"""The callback handler: tokens for the tools of a run, where no middleware can stand."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from authsec import AuthSecClient
from authsec.tokens import TokenRequest
from langchain_core.callbacks import BaseCallbackHandler

from authsec_langchain.calls import ToolCall, begin, end

_ALL: Final = TokenRequest.of(None, None)


class AuthsecCallbackHandler(BaseCallbackHandler):
    """For `config={"callbacks": [AuthsecCallbackHandler(client)]}`: the run's tools can call `delegation_token()`.

    The token is for all that is delegated, and it is asked for when a tool takes it. It stands in no metadata, tag or
    input: tools that looked for it in the run's metadata call `delegation_token()` instead. What a tool returns is not
    looked at; prefer `AuthsecMiddleware` where there is an agent to give it to.
    """

    run_inline = True  # in the context that the tool is then run in, also by `ainvoke`

    def __init__(self, client: AuthSecClient) -> None:
        self._client = client
        self._before: dict[UUID, ToolCall | None] = {}

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """A tool begins."""
        self._before[run_id] = begin(ToolCall(client=self._client, wanted=_ALL))

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 - what it is called with
        """It has ended."""
        end(self._before.pop(run_id, None))

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 - as above
        """It has failed."""
        end(self._before.pop(run_id, None))

    def __repr__(self) -> str:
        return f"AuthsecCallbackHandler({self._client!r})"
