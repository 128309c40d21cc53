"""What a tool raises, without its token."""

from __future__ import annotations

from typing import Any

from authsec.outgoing.api_errors import api_refusal, error_chain
from authsec.safe_text import plain
from authsec.withheld.needles import Needles
from authsec.withheld.search import Budget, hold, shown, text_of


class ToolError(Exception):
    """A tool failed. The text is made for the model; the cause is not attached, since frameworks print it."""


def safe(needles: Needles, error: Exception, kind: type[Exception] = ToolError) -> Exception:
    """The error, or one of `kind` without its token."""
    errors = list(error_chain(error))
    printed = [part for one in errors for part in (text_of(one), shown(one), _arguments(one))]
    # Notes are among the attributes. So is the request that a library's exception has, which holds the token, always:
    # nobody prints that, and programs tell these exceptions apart by their class. What it shows of itself is printed.
    attributes = [value for one in errors for value in vars(one).values()]
    budget = Budget()
    if _show(needles, printed, budget, inside=True) or _show(needles, attributes, budget, inside=False):
        return kind(f"{type(error).__name__}: {told(needles, error)}")
    return error


def told(needles: Needles, error: Exception) -> str:
    """What a model may read of it."""
    refusal = api_refusal(error)
    return needles.replaced(refusal.text) if refusal else plain(needles.replaced(text_of(error)), 300)


def _show(needles: Needles, parts: list[Any], budget: Budget, *, inside: bool) -> bool:
    return hold(needles, parts, budget, inside=inside, later=False)  # nobody runs the iterators of an error


def _arguments(error: BaseException) -> tuple[object, ...]:
    """Of a group without its members, which are searched as errors."""
    return (error.message,) if isinstance(error, BaseExceptionGroup) else error.args
