"""The decorator that passes a token to a tool. The model neither sees the parameter nor reads the token.

Frameworks build the model's schema from a function's signature, so the wrapper's signature omits
`delegation_token` (`authsec.tool_signature`). Results and exceptions also reach the model, so
`authsec.redaction` searches them.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, overload

from authsec.denials import api_denial, denial_text, forget_denied, tool_result
from authsec.errors import ConfigError
from authsec.redaction import redacted, safe_error
from authsec.tokens import DelegationToken, TokenRequest
from authsec.tool_signature import MARK, PARAMETER, docstring_of, position_of, signature_of, with_value, wrapper_without

OnDenied = Literal["raise", "tell_model"] | Callable[[str], Any]
"""How a tool responds to a denial: it raises the error, returns a text to the model, or calls a function."""

Result = TypeVar("Result")
Answer = TypeVar("Answer", covariant=True)


class TokenSource(Protocol):
    """The part of `AuthSecClient` that the decorator uses."""

    def get_token(self, scope: str | None, resource: tuple[str, ...] | None) -> DelegationToken: ...

    async def aget_token(self, scope: str | None, resource: tuple[str, ...] | None) -> DelegationToken: ...


class RaisingDecorator(Protocol):
    """A decorator that does not change the type of the function's result.

    The type checker cannot check the arguments: no Python type means "these arguments without
    `delegation_token`".
    """

    def __call__(self, function: Callable[..., Result], /) -> Callable[..., Result]: ...


class AnsweringDecorator(Protocol[Answer]):
    """A decorator that changes the type of the function's result.

    After a denial, the decorated function returns a response of the type `Answer` instead.
    """

    @overload
    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, Result]], /
    ) -> Callable[..., Coroutine[Any, Any, Result | Answer]]: ...
    @overload
    def __call__(self, function: Callable[..., Result], /) -> Callable[..., Result | Answer]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegated:
    """Decorates a function or method, sync or async, and passes a valid `delegation_token` at each call.

    A call is denied if the authority refuses the agent. It is also denied if an API answers 401 or 403, and the
    function raises the HTTP client's error. `on_denied` selects the tool's response to a denial. It is no denial
    if the authority or an API cannot be reached: that error is raised. After an API's 401, raised or returned as
    a response, the cache drops the token. So the next call gets another token.

    Results and exceptions contain no token of this process. In results, `[delegation token removed]` replaces
    each token. If an exception or one of its causes contains a token, a `ToolError` without the token replaces
    the exception.

    The decorator raises `ConfigError`, with the fix, if the function has no parameter `delegation_token`.
    """

    client: TokenSource
    request: TokenRequest
    on_denied: OnDenied = "raise"

    def __post_init__(self) -> None:
        if self.on_denied not in {"raise", "tell_model"} and not callable(self.on_denied):
            raise ConfigError(
                f"on_denied={self.on_denied!r} is not valid. Use 'raise', 'tell_model' or a function. With "
                "'tell_model', the tool returns a text about the denial to the model. A function gets this text, and "
                "returns the tool's result.",
                reason="config_invalid",
            )

    def __call__(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        full = signature_of(function)
        place = position_of(PARAMETER, full)
        wanted = (self.request.scope, self.request.resource)

        def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            _refuse_made_up(function, kwargs)
            held: tuple[str, ...] = ()
            try:
                token = self.client.get_token(*wanted).value
                held = (token,)
                args, kwargs = with_value(token, PARAMETER, place, args, kwargs)
                result = function(*args, **kwargs)
                return self._awaited(result, held) if hasattr(result, "__await__") else _searched(result, held)
            except Exception as error:  # Every error reaches a framework, so every error is searched for tokens.
                outcome = self._outcome(error, held)
                if outcome is error:
                    raise
            return _returned(outcome)

        async def call_async(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            _refuse_made_up(function, kwargs)
            held: tuple[str, ...] = ()
            try:
                token = (await self.client.aget_token(*wanted)).value
                held = (token,)
                args, kwargs = with_value(token, PARAMETER, place, args, kwargs)
                return _searched(await function(*args, **kwargs), held)
            except Exception as error:
                outcome = self._outcome(error, held)
                if outcome is error:
                    raise
            return _returned(outcome)

        run = call_async if inspect.iscoroutinefunction(function) else call
        wrapper = wrapper_without(PARAMETER, function, full, run)
        wrapper.__doc__ = docstring_of(function)
        vars(wrapper)[MARK] = True
        return wrapper

    async def _awaited(self, result: Awaitable[Any], held: tuple[str, ...]) -> Any:
        """Await the result of a plain `def` that returned an awaitable. Handle errors as in other calls."""
        try:
            return _searched(await result, held)
        except Exception as error:
            outcome = self._outcome(error, held)
            if outcome is error:
                raise
        return _returned(outcome)

    def _outcome(self, error: Exception, held: tuple[str, ...]) -> Any:
        """Return the response to a denial, or an error without tokens.

        A tool may itself request a second token. If the authority denies that token, the response is the same.
        """
        if self.on_denied == "raise":
            forget_denied(error, held)
            return safe_error(held, error)
        told = denial_text(error, held)
        if told is None:
            return safe_error(held, error)
        return tool_result(told) if self.on_denied == "tell_model" else self.on_denied(told)


def _searched(result: Any, held: tuple[str, ...]) -> Any:
    """Return the result without tokens.

    If the result is an API's response 401 to a token, also drop that token from the cache.
    """
    api_denial(result, held)
    return redacted(held, result)


def _returned(outcome: Any) -> Any:
    """Return the outcome, or raise it if it is an exception.

    The caller calls this function outside its `except` block. Otherwise the old error, which contains a token,
    would become the context of the new exception.
    """
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _refuse_made_up(function: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    """Refuse a `delegation_token` that the model passes. Raises `TypeError`.

    A function with `**kwargs` could otherwise receive the model's value as the real token.
    """
    if PARAMETER in kwargs:
        raise TypeError(f"{function.__qualname__}() got an unexpected keyword argument '{PARAMETER}'")
