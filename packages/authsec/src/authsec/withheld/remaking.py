"""What holds a token made anew, without it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

from authsec.withheld.errors import safe
from authsec.withheld.kinds import BYTES, CONTAINERS, comes_later, has_fields, holds_nothing, is_a
from authsec.withheld.needles import Needles
from authsec.withheld.search import Budget, hold, text_of

_LEFT_OUT: Final = "[left out: the result holds a delegation token]"
_DEEPEST: Final = 100  # of what is made anew; the stack of a framework's run is deep already


def remade(needles: Needles, value: Any) -> Any:
    """The very same where nothing has to be withheld."""
    return _Remaking(needles).of(value) if hold(needles, [value], Budget()) else value


class _Remaking:
    """Makes each object once, so that what is shared or goes round ends."""

    def __init__(self, needles: Needles) -> None:
        self._needles = needles
        self._made: dict[int, tuple[Any, Any]] = {}
        self._budget = Budget()  # for all of it: what is inside of several is searched with each

    def of(self, value: Any, depth: int = 0) -> Any:
        if is_a(value, str):
            return self._needles.replaced(value)
        if is_a(value, BYTES):
            return self._needles.replaced(bytes(value).decode("latin-1")).encode("latin-1")
        if holds_nothing(value):
            return value
        if id(value) not in self._made:
            self._made[id(value)] = value, _LEFT_OUT  # for whatever is inside of it and leads back to it
            self._made[id(value)] = value, self._anew(value, depth + 1) if depth < _DEEPEST else _LEFT_OUT
        return self._made[id(value)][1]

    def _anew(self, value: Any, depth: int) -> Any:
        if comes_later(value):
            is_async = is_a(value, AsyncIterator)
            return _yielded_async(self._needles, value) if is_async else _yielded(self._needles, value)
        try:
            if is_a(value, Mapping):
                return {self.of(name, depth): self.of(member, depth) for name, member in value.items()}
            if is_a(value, CONTAINERS):
                return _like(value, [self.of(member, depth) for member in value])
        except Exception:  # noqa: BLE001 - classes of others, which may forbid any of it: then it is told as text
            return self._needles.replaced(text_of(value))
        return self._of_object(value, depth)

    def _of_object(self, value: Any, depth: int) -> Any:
        if not hold(self._needles, [value], self._budget):
            return value
        made = None if self._budget.is_spent else self._with_other_fields(value, depth)
        if made is None or hold(self._needles, [made], self._budget, later=False):
            return self._needles.replaced(text_of(value))
        return made

    def _with_other_fields(self, value: Any, depth: int) -> Any:
        """A copy of a dataclass or a pydantic model, or None for what is neither."""
        if not has_fields(value):
            return None
        try:
            if not dataclasses.is_dataclass(type(value)):
                return value.model_copy(update={name: self.of(member, depth) for name, member in value})
            copied = copy.copy(value)
            if copied is value:  # as what never changes says of itself: a DelegationToken, say
                return None
            for field in dataclasses.fields(value):
                object.__setattr__(copied, field.name, self.of(getattr(value, field.name), depth))
        except Exception:  # noqa: BLE001 - as above
            return None
        return copied


def _like(value: Any, members: list[Any]) -> Any:
    """A container of the same kind, or a list."""
    if hasattr(value, "_fields"):
        return type(value)(*members)
    return type(value)(members) if type(value) in CONTAINERS else members


def _yielded(needles: Needles, values: Iterator[Any]) -> Iterator[Any]:
    """Each thing as it comes, and what is raised in place of one."""
    try:
        for value in values:
            yield remade(needles.now(), value)
    except Exception as error:  # whatever it is, a framework is about to be given it
        failure = safe(needles.now(), error)
        if failure is error:
            raise
    else:
        return
    raise failure  # here, where the one that holds the token is its context no more


async def _yielded_async(needles: Needles, values: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        async for value in values:
            yield remade(needles.now(), value)
    except Exception as error:
        failure = safe(needles.now(), error)
        if failure is error:
            raise
    else:
        return
    raise failure
