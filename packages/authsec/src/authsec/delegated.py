"""The decorator that gives a tool its token. The model neither sees the parameter nor reads the token.

Frameworks make the model's schema of a function's signature, so the wrapper has one without `delegation_token`
(`authsec.tool_signature`). Results and exceptions go to the model as well, so `authsec.redaction` searches them.
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
    """Keeps the type of the result. That of the arguments cannot be told: no type says "without that keyword"."""

    def __call__(self, function: Callable[..., Result], /) -> Callable[..., Result]: ...


class AnsweringDecorator(Protocol[Answer]):
    """The result may be the answer to a denial instead."""

    @overload
    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, Result]], /
    ) -> Callable[..., Coroutine[Any, Any, Result | Answer]]: ...
    @overload
    def __call__(self, function: Callable[..., Result], /) -> Callable[..., Result | Answer]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegated:
    """Decorates a function or method, sync or async, that takes `delegation_token`: a living token at each call.

    A denial is the authority's decision against the agent, or an API's 401 or 403 that the function lets its HTTP
    client raise. `on_denied` says how the tool answers. An authority or an API that is away denies nothing: that is
    raised. After a 401, raised or returned as a response, the token is forgotten, so the next call gets another.

    No token leaves a call, neither its own nor another of this process: results have `[delegation token removed]`
    instead. An exception that holds one, or whose cause does, is replaced by a `ToolError` without.

    Raises `ConfigError` at decoration, with the fix, if the function takes none.
    """

    client: TokenSource
    request: TokenRequest
    on_denied: OnDenied = "raise"

    def __post_init__(self) -> None:
        if self.on_denied not in {"raise", "tell_model"} and not callable(self.on_denied):
            raise ConfigError(
                f"on_denied={self.on_denied!r} is not known. It is 'raise', 'tell_model' to let the tool return what "
                "the model may know about the denial, or a function that makes the tool's result of that text.",
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
        """The outcome of a plain function that returns an awaitable."""
        try:
            return _searched(await result, held)
        except Exception as error:
            outcome = self._outcome(error, held)
            if outcome is error:
                raise
        return _returned(outcome)

    def _outcome(self, error: Exception, held: tuple[str, ...]) -> Any:
        """The answer to a denial, be it of a second token that the tool asks for; else an error that is safe."""
        if self.on_denied == "raise":
            forget_denied(error, held)
            return safe_error(held, error)
        told = denial_text(error, held)
        if told is None:
            return safe_error(held, error)
        return tool_result(told) if self.on_denied == "tell_model" else self.on_denied(told)


def _searched(result: Any, held: tuple[str, ...]) -> Any:
    """The result without tokens. If it is a response that refuses a token, the token is forgotten."""
    api_denial(result, held)
    return redacted(held, result)


def _returned(outcome: Any) -> Any:
    """Exceptions are raised here, where the error that holds the token is no longer handled and becomes no context."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _refuse_made_up(function: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    """A function that takes any keyword would take a model's own `delegation_token` for the real one."""
    if PARAMETER in kwargs:
        raise TypeError(f"{function.__qualname__}() got an unexpected keyword argument '{PARAMETER}'")
