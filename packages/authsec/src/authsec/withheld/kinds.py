"""What is of which kind, by its type alone: `isinstance` would ask the object itself, and some (the proxies of web
frameworks) raise then.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import AsyncIterator, ItemsView, Iterator, KeysView, ValuesView
from types import FunctionType, ModuleType, NoneType
from typing import Any, Final

_NOTHING: Final = (NoneType, bool, int, float, complex, type, ModuleType, FunctionType)
BYTES: Final = (bytes, bytearray, memoryview)
CONTAINERS: Final = (list, tuple, set, frozenset, deque, KeysView, ValuesView, ItemsView)


def is_a(value: Any, kinds: type | tuple[type, ...]) -> bool:
    """As `isinstance` says of whatever does not claim to be another's."""
    return issubclass(type(value), kinds)


def holds_nothing(value: Any) -> bool:
    """A mock, in a test of somebody's tool, seems to be all there is, and makes another for each look at it."""
    return is_a(value, _NOTHING) or type(value).__module__ == "unittest.mock"


def comes_later(value: Any) -> bool:
    """Whether it is an iterator: what it yields is not there yet, and frameworks (ag2, pydantic-ai) have it yielded."""
    return is_a(value, (Iterator, AsyncIterator))


def has_fields(value: Any) -> bool:
    """Whether it is a dataclass or a pydantic model, which frameworks write out field by field."""
    return dataclasses.is_dataclass(type(value)) or callable(getattr(type(value), "model_copy", None))
