"""The decorator that gives a tool its token without the model knowing that there is one, or reading it afterwards.

Frameworks build the schema that a model sees from a function's signature and annotations, so the parameter
`delegation_token` is taken out of both, and `__wrapped__`, through which they would find it again, is removed. What the
function returns or raises goes to the model as well, so `authsec.withheld` searches it.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeVar, overload

from authsec.delegable import MARK, PARAMETER, docstring_of, signature_of
from authsec.denied import told_of_denial
from authsec.errors import ConfigError
from authsec.outgoing.api_denials import api_denial
from authsec.tokens import DelegationToken, TokenRequest
from authsec.withheld import safe_error, withheld

OnDenied = Literal["raise", "tell_model"]
"""What a tool does that may not: raise, `DelegationDenied` say, or return what the model may know of it."""

Result = TypeVar("Result")


class TokenSource(Protocol):
    """What the decorator needs of `AuthSecClient`."""

    def get_token(self, scope: str | None, resource: tuple[str, ...] | None) -> DelegationToken: ...

    async def aget_token(self, scope: str | None, resource: tuple[str, ...] | None) -> DelegationToken: ...


class RaisingDecorator(Protocol):
    """Keeps the type of the result. That of the arguments cannot be told: no type says "without that keyword"."""

    def __call__(self, function: Callable[..., Result], /) -> Callable[..., Result]: ...


class TellingDecorator(Protocol):
    """The result may be a sentence for the model instead."""

    @overload
    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, Result]], /
    ) -> Callable[..., Coroutine[Any, Any, Result | str]]: ...
    @overload
    def __call__(self, function: Callable[..., Result], /) -> Callable[..., Result | str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegated:
    """Decorates a function or method, sync or async, that takes `delegation_token`: a living token at each call.

    With `on_denied="tell_model"` it returns one sentence for the model where the authority decided against the agent,
    so that no framework ends the run for it; and where the API did, if the function lets its HTTP client raise that. An
    authority that is away decides nothing: as an API that is away, it raises. After a 401, raised or returned as a
    response, the token is forgotten, so that the next call gets another or is denied.

    No token comes out of a call, neither this one nor another that a client of the process has: in results there is
    `[delegation token removed]` in its place, and an exception that holds one, or whose cause does, is replaced by a
    `ToolError` without. Others are what the function returned or raised. Whoever wants the token itself calls
    `AuthSecClient.get_delegation_token`.

    Raises `ConfigError` at decoration, with the fix, if the function takes none.
    """

    client: TokenSource
    request: TokenRequest
    on_denied: OnDenied = "raise"

    def __post_init__(self) -> None:
        if self.on_denied not in typing.get_args(OnDenied):
            raise ConfigError(
                f"on_denied={self.on_denied!r} is not known. It is 'raise', or 'tell_model' to let the tool return "
                "what the model may know about the denial.",
                reason="config_invalid",
            )

    def __call__(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        full = signature_of(function)
        shown = full.replace(
            parameters=[p for p in full.parameters.values() if p.name != PARAMETER],
            return_annotation=self._result(full.return_annotation),
        )
        wanted = (self.request.scope, self.request.resource)

        def call(*args: Any, **kwargs: Any) -> Any:
            given = _bound(shown, function, args, kwargs)
            held: tuple[str, ...] = ()
            try:
                token = self.client.get_token(*wanted).value
                held = (token,)
                bound = _completed(full, given, token)
                result = function(*bound.args, **bound.kwargs)
                return self._awaited(result, held) if hasattr(result, "__await__") else _searched(result, held)
            except Exception as error:  # whatever it is, a framework is about to be given it
                outcome = self._outcome(error, held)
                if outcome is error:
                    raise
            return _told(outcome)

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            given = _bound(shown, function, args, kwargs)
            held: tuple[str, ...] = ()
            try:
                token = (await self.client.aget_token(*wanted)).value
                held = (token,)
                bound = _completed(full, given, token)
                return _searched(await function(*bound.args, **bound.kwargs), held)
            except Exception as error:
                outcome = self._outcome(error, held)
                if outcome is error:
                    raise
            return _told(outcome)

        return _disguised(call_async if inspect.iscoroutinefunction(function) else call, function, shown)

    async def _awaited(self, result: Awaitable[Any], held: tuple[str, ...]) -> Any:
        """Of a plain function that returns something to be awaited: what comes of it."""
        try:
            return _searched(await result, held)
        except Exception as error:
            outcome = self._outcome(error, held)
            if outcome is error:
                raise
        return _told(outcome)

    def _outcome(self, error: Exception, held: tuple[str, ...]) -> Exception | str:
        """The denial for the model, also of a tool that asks once more by itself; else an error that is safe."""
        if self.on_denied == "raise":
            api_denial(error, held)  # the token that was refused is forgotten
            return safe_error(held, error)
        told = told_of_denial(error, held)
        return safe_error(held, error) if told is None else told

    def _result(self, annotation: Any) -> Any:
        """The annotation of the result as it is now: some frameworks (MCP) make a schema of it, and check."""
        unknown = annotation is inspect.Signature.empty or annotation is Any or isinstance(annotation, str)
        if self.on_denied == "raise" or unknown:
            return annotation
        if typing.get_origin(annotation) is Annotated:  # whose metadata need not be hashable, as a member's must be
            return Annotated[(self._result(annotation.__origin__), *annotation.__metadata__)]
        return typing.Union[annotation, str]  # noqa: UP007 - not everything that annotates has the operator


def _searched(result: Any, held: tuple[str, ...]) -> Any:
    """The result, of which no token comes out; if it is a response that refuses one, that is forgotten."""
    api_denial(result, held)
    return withheld(held, result)


def _told(outcome: Exception | str) -> str:
    """Raised here, where an error that holds the token is handled no more and becomes no context."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _bound(
    shown: inspect.Signature, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> inspect.BoundArguments:
    """Raises `TypeError` as the function would, also for a delegation_token that a model made up."""
    try:
        return shown.bind(*args, **kwargs)
    except TypeError as wrong:
        raise TypeError(f"{function.__qualname__}() {wrong}") from None


def _completed(full: inspect.Signature, given: inspect.BoundArguments, token: str) -> inspect.BoundArguments:
    bound = full.bind_partial()
    bound.arguments.update(given.arguments)
    bound.arguments[PARAMETER] = token
    return bound


def _disguised(
    wrapper: Callable[..., Any], function: Callable[..., Any], shown: inspect.Signature
) -> Callable[..., Any]:
    functools.update_wrapper(wrapper, function)
    annotations = {p.name: p.annotation for p in shown.parameters.values() if p.annotation is not p.empty}
    if shown.return_annotation is not shown.empty:
        annotations["return"] = shown.return_annotation
    wrapper.__annotations__ = annotations
    wrapper.__doc__ = docstring_of(function)
    vars(wrapper).update({"__signature__": shown, MARK: True})
    del vars(wrapper)["__wrapped__"]
    return wrapper
