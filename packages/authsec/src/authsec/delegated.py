"""The decorator that gives a tool its token without the model knowing that there is one.

Frameworks build the schema that a model sees from a function's signature and annotations, so the parameter
`delegation_token` is taken out of both, and `__wrapped__`, through which they would find it again, is removed.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from authsec.errors import ConfigError
from authsec.tokens import DelegationToken, TokenRequest

PARAMETER = "delegation_token"


class TokenSource(Protocol):
    """What the decorator needs of `AuthSecClient`."""

    def get_token(self, scope: str | None, resource: tuple[str, ...] | None) -> DelegationToken: ...

    async def aget_token(self, scope: str | None, resource: tuple[str, ...] | None) -> DelegationToken: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegated:
    """Decorates a function or method, sync or async, that takes `delegation_token`: a living token at each call.

    Raises `ConfigError` at decoration, with the fix, if the function takes none.
    """

    client: TokenSource
    request: TokenRequest

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        full = _signature(function)
        shown = full.replace(parameters=[p for p in full.parameters.values() if p.name != PARAMETER])
        wanted = (self.request.scope, self.request.resource)

        def call(*args: Any, **kwargs: Any) -> Any:
            given = shown.bind(*args, **kwargs)  # a TypeError for a delegation_token that a model made up
            bound = _completed(full, given, self.client.get_token(*wanted))
            return function(*bound.args, **bound.kwargs)

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            given = shown.bind(*args, **kwargs)
            bound = _completed(full, given, await self.client.aget_token(*wanted))
            return await function(*bound.args, **bound.kwargs)

        return _disguised(call_async if inspect.iscoroutinefunction(function) else call, function, shown)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature with its annotations resolved: the wrapper lives in this module, where names mean other things."""
    name = getattr(function, "__qualname__", repr(function))
    if not inspect.isfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(
            f"{name} is not a plain function (def or async def). Put the decorator directly above the def, below "
            "@staticmethod or @classmethod.",
            reason="not_a_function",
        )
    signature = inspect.signature(function)
    parameter = signature.parameters.get(PARAMETER)
    if parameter is None or parameter.kind not in {parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
        shown = ", ".join([*(str(p.replace(annotation=p.empty)) for p in signature.parameters.values())])
        raise ConfigError(
            f"{name} has no parameter for its token. Add one; no model sees it:\n"
            f"    def {function.__name__}({shown}{', ' if shown else ''}*, {PARAMETER}: str)",
            reason="parameter_missing",
        )
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError:  # names that are imported for type checkers only stay as they are written
        return signature
    return signature.replace(
        parameters=[p.replace(annotation=hints.get(p.name, p.annotation)) for p in signature.parameters.values()],
        return_annotation=hints.get("return", signature.return_annotation),
    )


def _completed(
    full: inspect.Signature, given: inspect.BoundArguments, token: DelegationToken
) -> inspect.BoundArguments:
    bound = full.bind_partial()
    bound.arguments.update(given.arguments)
    bound.arguments[PARAMETER] = token.value
    return bound


def _disguised(
    wrapper: Callable[..., Any], function: Callable[..., Any], shown: inspect.Signature
) -> Callable[..., Any]:
    functools.update_wrapper(wrapper, function)
    annotations = {p.name: p.annotation for p in shown.parameters.values() if p.annotation is not p.empty}
    if shown.return_annotation is not shown.empty:
        annotations["return"] = shown.return_annotation
    wrapper.__annotations__ = annotations
    vars(wrapper).update(__signature__=shown)
    del vars(wrapper)["__wrapped__"]
    return wrapper
