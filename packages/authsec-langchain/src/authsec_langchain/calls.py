"""How a token reaches a tool: by the call that runs, never by an argument.

LangChain hands a tool's arguments, and the run's metadata and tags, to callbacks, tracers, event streams and error
texts. What it hands on without looking at is the context (`contextvars`): so that carries whom to ask, not a token.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from authsec import AuthSecClient, ConfigError, DelegationToken
from authsec.tokens import TokenRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of a tool: whom it may ask for which token. `handed_out` are those that it was given."""

    client: AuthSecClient
    wanted: TokenRequest
    handed_out: set[str] = field(default_factory=set, repr=False)

    def token(self) -> str:
        """A living token. Raises `AuthSecError`."""
        return self._noted(self.client.get_token(self.wanted.scope, self.wanted.resource))

    async def atoken(self) -> str:
        """The same for coroutines."""
        return self._noted(await self.client.aget_token(self.wanted.scope, self.wanted.resource))

    def _noted(self, token: DelegationToken) -> str:
        self.handed_out.add(token.value)
        return token.value


_running: Final[contextvars.ContextVar[ToolCall | None]] = contextvars.ContextVar("authsec_tool_call", default=None)


def delegation_token() -> str:
    """The token of the tool call that runs: living, for the actions that the middleware names for this tool.

    Take it where the request is made, and each time: it comes from the client's cache. Raises `AuthSecError` if the
    authority gives none, `ConfigError` outside of a tool that is given tokens.
    """
    return _call().token()


async def adelegation_token() -> str:
    """The same for async tools."""
    return await _call().atoken()


@contextmanager
def running(call: ToolCall) -> Iterator[None]:
    """Until the block ends, `call` is the tool call that runs."""
    before = _running.set(call)
    try:
        yield
    finally:
        _running.reset(before)


def begin(call: ToolCall) -> ToolCall | None:
    """From now on `call` is the tool call that runs, in this context. Returns the one before, for `end`."""
    before = _running.get()
    _running.set(call)
    return before


def end(before: ToolCall | None) -> None:
    """The call is over, and what was before it is again."""
    _running.set(before)


def _call() -> ToolCall:
    call = _running.get()
    if call is None:
        raise ConfigError(
            "No tool call that is given tokens runs here. Name the tool in AuthsecMiddleware(client, {'its_name': "
            "'customers:read'}); where the tool starts threads of its own, take the token before that.",
            reason="no_tool_call",
        )
    return call
