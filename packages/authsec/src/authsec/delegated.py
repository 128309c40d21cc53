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
"""How a denied tool answers: it raises; it tells the model in the framework's way; or it asks a function of yours."""

Result = TypeVar("Result")
Answer = TypeVar("Answer", covariant=True)


class TokenSource(Protocol):
    """The part of `AuthSecClient` that the decorator uses."""

    def get_token(self, scope: str | None, resource: tuple[str, ...] | None) -> DelegationToken: ...

    async def aget_token(self, scope: str | None, resource: tuple[str, ...] | None) -> DelegationToken: ...


class RaisingDecorator(Protocol):
    """Keeps the type of the result. No Python type can express the arguments "without that keyword"."""

    def __call__(self, function: Callable[..., Result], /) -> Callable[..., Result]: ...


class AnsweringDecorator(Protocol[Answer]):
    """Changes the type of the result: the decorated function may return the response to a denial instead."""

    @overload
    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, Result]], /
    ) -> Callable[..., Coroutine[Any, Any, Result | Answer]]: ...
    @overload
    def __call__(self, function: Callable[..., Result], /) -> Callable[..., Result | Answer]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegated:
    """Decorates a function or method, sync or async, and passes a valid `delegation_token` at each call.

    A denial is the authority's decision against the agent. An API's 401 or 403 is a denial too, if the function
    lets its HTTP client raise the error. `on_denied` selects the tool's response. An authority or an API that
    cannot be reached denies nothing: that error is raised. After a 401, raised or returned as a response, the
    token is dropped, so the next call gets another.

    No token leaves a call: neither its own token nor another one of this process. Results contain `[delegation
    token removed]` instead. An exception that contains a token, itself or in its causes, is replaced by a
    `ToolError` without the token.

    At decoration, raises `ConfigError` with the fix if the function has no parameter `delegation_token`.
    """

    client: TokenSource
    request: TokenRequest
    on_denied: OnDenied = "raise"

    def __post_init__(self) -> None:
        if self.on_denied not in {"raise", "tell_model"} and not callable(self.on_denied):
            raise ConfigError(
                f"on_denied={self.on_denied!r} is not valid. Use 'raise'; or 'tell_model', so that the tool "
                "returns a text about the denial to the model; or a function that turns that text into the tool's "
                "result.",
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
            except Exception as error:  # whatever it is, a framework is about to be given it
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
        """Await the result of a plain function that returns an awaitable, and handle its errors."""
        try:
            return _searched(await result, held)
        except Exception as error:
            outcome = self._outcome(error, held)
            if outcome is error:
                raise
        return _returned(outcome)

    def _outcome(self, error: Exception, held: tuple[str, ...]) -> Any:
        """Return the response to a denial, or an error without tokens.

        A denial of a second token, which the tool requested itself, also gets the response.
        """
        if self.on_denied == "raise":
            forget_denied(error, held)
            return safe_error(held, error)
        told = denial_text(error, held)
        if told is None:
            return safe_error(held, error)
        return tool_result(told) if self.on_denied == "tell_model" else self.on_denied(told)


def _searched(result: Any, held: tuple[str, ...]) -> Any:
    """Return the result without tokens. If the result is an API's 401 to a token, drop that token from the cache."""
    api_denial(result, held)
    return redacted(held, result)


def _returned(outcome: Any) -> Any:
    """Return the outcome, or raise it if it is an exception.

    Raised here, outside the `except` block: the error with the token must not become the new exception's context.
    """
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _refuse_made_up(function: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    """Refuse a `delegation_token` from the model.

    A function that takes any keyword would otherwise use the model's value as the real token.
    """
    if PARAMETER in kwargs:
        raise TypeError(f"{function.__qualname__}() got an unexpected keyword argument '{PARAMETER}'")
