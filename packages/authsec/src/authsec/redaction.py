"""Redaction: remove tokens from a tool's results and exceptions, because frameworks pass both to the model.

An API may echo the request's headers, or a library may quote them in an exception. Then the result would
contain a token: the token of the call, or another token of the tool's own HTTP client. So `token_search`
searches for all tokens of this process (`authsec.issued_tokens`) and for the tokens that the caller passes. A
value without a token is returned unchanged, as the same object.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from typing import Any, Final

from authsec.outgoing.api_errors import api_refusal, error_chain
from authsec.safe_text import plain
from authsec.token_search import (
    BYTES,
    CONTAINERS,
    Budget,
    TokenPatterns,
    has_fields,
    has_token,
    is_a,
    is_iterator,
    is_plain,
    repr_of,
    text_of,
)

_LEFT_OUT: Final = "[removed: the result contains a delegation token]"
_DEEPEST: Final = 100  # levels of a copy, because a framework has already used much of the stack


class ToolError(Exception):
    """The failure of a tool, with a text for the model. It has no cause, since frameworks print the cause."""


def redacted(tokens: Collection[str], value: Any) -> Any:
    """Return `value` itself if it contains no token; otherwise return a copy with each token replaced.

    Containers, dataclasses and pydantic models are copied. Any other object that contains a token becomes text,
    for example an HTTP response with its request. A value that is too large to search also becomes text. An
    iterator becomes a generator that redacts each item.
    """
    return _redacted(TokenPatterns(tokens), value)


def safe_error(tokens: Collection[str], error: Exception, kind: type[Exception] = ToolError) -> Exception:
    """Return the error itself, or a new error of `kind` if the error contains a token.

    Causes and contexts of the error are searched as well. The new error has no token. Raise it outside of the
    `except` block. Otherwise the original error becomes its context.
    """
    return _safe_error(TokenPatterns(tokens), error, kind)


def error_text(tokens: Collection[str], error: Exception) -> str:
    """Return the text of an error for a model, without tokens."""
    return _error_text(TokenPatterns(tokens), error)


def _redacted(patterns: TokenPatterns, value: Any) -> Any:
    """Return `value` itself if it contains no token; else a redacted copy."""
    return _Copier(patterns).of(value) if has_token(patterns, [value], Budget()) else value


class _Copier:
    """Copies each object once, so that shared and circular references do not cause an endless loop."""

    def __init__(self, patterns: TokenPatterns) -> None:
        self._patterns = patterns
        self._made: dict[int, tuple[Any, Any]] = {}
        # One budget for the whole copy, because an object inside several others is searched several times.
        self._budget = Budget()

    def of(self, value: Any, depth: int = 0) -> Any:
        if is_a(value, str):
            return self._patterns.replaced(value)
        if is_a(value, BYTES):
            return self._patterns.replaced(bytes(value).decode("latin-1")).encode("latin-1")
        if is_plain(value):
            return value
        if id(value) not in self._made:
            self._made[id(value)] = value, _LEFT_OUT  # for members that refer back to `value`
            self._made[id(value)] = value, self._anew(value, depth + 1) if depth < _DEEPEST else _LEFT_OUT
        return self._made[id(value)][1]

    def _anew(self, value: Any, depth: int) -> Any:
        if is_iterator(value):
            is_async = is_a(value, AsyncIterator)
            return _yielded_async(self._patterns, value) if is_async else _yielded(self._patterns, value)
        try:
            if is_a(value, Mapping):
                return {self.of(name, depth): self.of(member, depth) for name, member in value.items()}
            if is_a(value, CONTAINERS):
                return _like(value, [self.of(member, depth) for member in value])
        except Exception:  # noqa: BLE001 - foreign classes may raise anything; their object becomes text
            return self._patterns.replaced(text_of(value))
        return self._of_object(value, depth)

    def _of_object(self, value: Any, depth: int) -> Any:
        if not has_token(self._patterns, [value], self._budget):
            return value
        made = None if self._budget.is_spent else self._with_other_fields(value, depth)
        if made is None or has_token(self._patterns, [made], self._budget, later=False):
            return self._patterns.replaced(text_of(value))
        return made

    def _with_other_fields(self, value: Any, depth: int) -> Any:
        """Return a copy of a dataclass or a pydantic model, with redacted fields.

        Return None for any other object, and for an object that cannot be copied.
        """
        if not has_fields(value):
            return None
        try:
            if not dataclasses.is_dataclass(type(value)):
                return value.model_copy(update={name: self.of(member, depth) for name, member in value})
            copied = copy.copy(value)
            if copied is value:  # An immutable object such as a DelegationToken returns itself as its copy.
                return None
            for field in dataclasses.fields(value):
                object.__setattr__(copied, field.name, self.of(getattr(value, field.name), depth))
        except Exception:  # noqa: BLE001 - foreign classes may raise anything
            return None
        return copied


def _like(value: Any, members: list[Any]) -> Any:
    """Return the members in a container of the same type as `value`, or else in a list."""
    if hasattr(value, "_fields"):
        return type(value)(*members)
    return type(value)(members) if type(value) in CONTAINERS else members


def _yielded(patterns: TokenPatterns, values: Iterator[Any]) -> Iterator[Any]:
    """Yield each item without tokens. If the iterator raises an exception with a token, raise one without a token."""
    try:
        for value in values:
            yield _redacted(patterns.now(), value)
    except Exception as error:  # Every error reaches a framework, so every error is searched for tokens.
        failure = _safe_error(patterns.now(), error)
        if failure is error:
            raise
    else:
        return
    # Outside the `except` block, so that the error with the token is not its context.
    raise failure


async def _yielded_async(patterns: TokenPatterns, values: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        async for value in values:
            yield _redacted(patterns.now(), value)
    except Exception as error:
        failure = _safe_error(patterns.now(), error)
        if failure is error:
            raise
    else:
        return
    raise failure


def _safe_error(patterns: TokenPatterns, error: Exception, kind: type[Exception] = ToolError) -> Exception:
    """Return the error itself, or an error of `kind` without tokens if the given error contains a token."""
    errors = list(error_chain(error))
    printed = [part for one in errors for part in (text_of(one), repr_of(one), _arguments(one))]
    # The attributes include notes. They may also include the request of an HTTP library's exception, which always
    # contains the token. No framework prints this request, and programs need the exception's class. So only the `str`
    # and the `repr` of each attribute are searched.
    attributes = [value for one in errors for value in vars(one).values()]
    budget = Budget()
    if _show(patterns, printed, budget, inside=True) or _show(patterns, attributes, budget, inside=False):
        return kind(f"{type(error).__name__}: {_error_text(patterns, error)}")
    return error


def _error_text(patterns: TokenPatterns, error: Exception) -> str:
    """Return the text of an error for a model, without tokens."""
    refusal = api_refusal(error)
    return patterns.replaced(refusal.text) if refusal else plain(patterns.replaced(text_of(error)), 300)


def _show(patterns: TokenPatterns, parts: list[Any], budget: Budget, *, inside: bool) -> bool:
    # Frameworks do not run the iterators of an error, so `later` is False.
    return has_token(patterns, parts, budget, inside=inside, later=False)


def _arguments(error: BaseException) -> tuple[object, ...]:
    """Return the arguments of an error. For an exception group, omit the members: each is searched as its own error."""
    return (error.message,) if isinstance(error, BaseExceptionGroup) else error.args
