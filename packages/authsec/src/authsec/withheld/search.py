"""Whether a token is in something, at any depth: what is stored is what an object has, not what it shows."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import AsyncIterator, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from types import FunctionType, ModuleType, NoneType
from typing import Any, Final

from authsec.withheld.needles import Needles

_NOTHING: Final = (NoneType, bool, int, float, complex, type, ModuleType, FunctionType)
BYTES: Final = (bytes, bytearray, memoryview)
CONTAINERS: Final = (list, tuple, set, frozenset, deque, KeysView, ValuesView, ItemsView)


@dataclasses.dataclass(slots=True)
class Budget:
    """How much is looked at: containers, and objects of other kinds, whose every repr is asked for."""

    objects: int = 10_000
    containers: int = 1_000_000

    @property
    def is_spent(self) -> bool:
        return self.objects < 0 or self.containers < 0


def hold(needles: Needles, values: Iterable[Any], budget: Budget, *, inside: bool = True, later: bool = True) -> bool:
    """Whether a token is in one of these, or may be as far as can be told.

    Without `inside`, of objects other than containers counts what they show. `later` says whether a token may yet come
    out of an iterator.
    """
    waiting = list(values)
    seen: dict[int, Any] = {}  # with the objects, so that no other gets the id of one
    while waiting:
        one = waiting.pop()
        if isinstance(one, str | bytes | bytearray | memoryview):
            if needles.are_in(one):
                return True
        elif not holds_nothing(one) and id(one) not in seen:
            seen[id(one)] = one
            parts = _members_of_container(one, budget)
            if parts is not None:
                waiting += parts
            elif not comes_later(one):
                waiting += _parts_of_object(one, budget, inside=inside)
            elif later:
                return True
            if budget.is_spent:
                return True  # of what is too large to be searched, the text is
    return False


def holds_nothing(value: Any) -> bool:
    """A mock, in a test of somebody's tool, seems to be all there is, and makes another for each look at it."""
    return isinstance(value, _NOTHING) or type(value).__module__ == "unittest.mock"


def comes_later(value: Any) -> bool:
    """Whether it is an iterator: what it yields is not there yet, and frameworks (ag2, pydantic-ai) have it yielded."""
    return isinstance(value, Iterator | AsyncIterator)


def has_fields(value: Any) -> bool:
    """Whether it is a dataclass or a pydantic model, which frameworks write out field by field."""
    return dataclasses.is_dataclass(value) or callable(getattr(type(value), "model_copy", None))


def text_of(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a class of others; what cannot be shown is not shown to a model either
        return f"[{type(value).__name__}]"


def shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - as above
        return ""


def _members_of_container(value: Any, budget: Budget) -> list[Any] | None:
    """None for what is none, or does not say what is in it: then it is looked at as another object."""
    try:
        if isinstance(value, Mapping):
            members = [*value.keys(), *value.values()]
        elif isinstance(value, CONTAINERS):
            members = [*value]
        else:
            return None
    except Exception:  # noqa: BLE001 - a class of others; the pools of urllib3 are a Mapping that refuses it
        return None
    budget.containers -= 1
    return members


def _parts_of_object(value: Any, budget: Budget, *, inside: bool) -> list[Any]:
    budget.objects -= 1
    return [text_of(value), shown(value), *(_members(value) if inside else ())]


def _members(value: Any) -> list[Any]:
    """What the object has of its own. Where it does not show its fields to anybody, nobody runs its iterators."""
    members: list[Any] = []
    for kind in type(value).__mro__:
        names = vars(kind).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            hidden = name.startswith("__") and not name.endswith("__")
            members.append(getattr(value, f"_{kind.__name__.lstrip('_')}{name}" if hidden else name, None))
    own = getattr(value, "__dict__", None)
    members += own.values() if isinstance(own, dict) else ()
    return members if has_fields(value) else [member for member in members if not comes_later(member)]
