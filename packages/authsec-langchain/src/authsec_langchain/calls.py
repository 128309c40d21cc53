"""Pass tokens to tools through the context (`contextvars`), never through arguments.

LangChain passes a tool's arguments, and the run's metadata and tags, to callbacks, tracers, event streams and
error texts. LangChain never reads the context. The context contains the client for the token request, not a
token.
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
    """One call of a tool: the client, the token that the tool may request, and the tokens it got (`handed_out`)."""

    client: AuthSecClient
    wanted: TokenRequest
    handed_out: set[str] = field(default_factory=set, repr=False)

    def token(self) -> str:
        """Return an unexpired token. Raises `AuthSecError`."""
        return self._noted(self.client.get_token(self.wanted.scope, self.wanted.resource))

    async def atoken(self) -> str:
        """Return an unexpired token, for coroutines. Raises `AuthSecError`."""
        return self._noted(await self.client.aget_token(self.wanted.scope, self.wanted.resource))

    def _noted(self, token: DelegationToken) -> str:
        self.handed_out.add(token.value)
        return token.value


_running: Final[contextvars.ContextVar[ToolCall | None]] = contextvars.ContextVar("authsec_tool_call", default=None)


def delegation_token() -> str:
    """Return an unexpired token for the current tool call, with the actions that the middleware names for the tool.

    Call this function for each request, where the request is sent: the token comes from the client's cache.
    Raises `AuthSecError` if the authority issues no token. Raises `ConfigError` outside of a tool that gets
    tokens.
    """
    return _call().token()


async def adelegation_token() -> str:
    """Return the token as `delegation_token` does, for async tools."""
    return await _call().atoken()


@contextmanager
def running(call: ToolCall) -> Iterator[None]:
    """Make `call` the current tool call until the block ends."""
    before = _running.set(call)
    try:
        yield
    finally:
        _running.reset(before)


def begin(call: ToolCall) -> ToolCall | None:
    """Make `call` the current tool call in this context. Return the previous one, for `end`."""
    before = _running.get()
    _running.set(call)
    return before


def end(before: ToolCall | None) -> None:
    """End the current tool call, and make `before` the current one again."""
    _running.set(before)


def _call() -> ToolCall:
    call = _running.get()
    if call is None:
        raise ConfigError(
            "This tool call gets no tokens. Name the tool in AuthsecMiddleware(client, "
            "{'its_name': 'customers:read'}). If the tool starts its own threads, get the token before that.",
            reason="no_tool_call",
        )
    return call
