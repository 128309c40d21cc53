"""Query parameters that filter lists. The value is one of a fixed set of words, or `true` or `false`."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from starlette.requests import Request

from authsec_server.failures import Invalid
from authsec_server.naming import quoted
from authsec_server.web.bodies import query_value
from authsec_server.web.operations import Parameter

W = TypeVar("W", bound=StrEnum)
_ANSWERS = {"true": True, "false": False}


def one_of(name: str, description: str, words: type[StrEnum]) -> Parameter:
    """Declare a parameter with one of these words as its value."""
    return Parameter(name=name, description=description, schema={"type": "string", "enum": list(map(str, words))})


def yes_or_no(name: str, description: str) -> Parameter:
    """Declare a parameter with the value `true` or `false`."""
    return Parameter(name=name, description=description, schema={"type": "string", "enum": list(_ANSWERS)})


def read_one_of(request: Request, name: str, words: type[W]) -> W | None:
    """Return the word of the parameter, or None if the parameter is missing.

    Raises `Invalid` for another word. The remedy lists all valid words.
    """
    value = query_value(request, name)
    try:
        return None if value is None else words(value)
    except ValueError:
        raise Invalid(name, f"{name} must not be {quoted(value or '')}.", f"One of: {', '.join(words)}") from None


def read_yes_or_no(request: Request, name: str) -> bool | None:
    """Return the parameter as a boolean, or None if the parameter is missing.

    Raises `Invalid` for a value other than `true` or `false`.
    """
    value = query_value(request, name)
    if value is not None and value not in _ANSWERS:
        raise Invalid(name, f"{name} must not be {quoted(value)}.", f"One of: {', '.join(_ANSWERS)}")
    return None if value is None else _ANSWERS[value]
