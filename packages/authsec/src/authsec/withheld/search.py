"""Whether a token is in something, at any depth: what is stored is what an object has, not what it shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import MemberDescriptorType
from typing import Any

from authsec.withheld.kinds import BYTES, CONTAINERS, comes_later, has_fields, holds_nothing, is_a
from authsec.withheld.needles import Needles


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
        if is_a(one, (str, *BYTES)):
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
        if is_a(value, Mapping):
            members = [*value.keys(), *value.values()]
        elif is_a(value, CONTAINERS):
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
    for slot in (slot for kind in type(value).__mro__ for slot in vars(kind).values()):
        if isinstance(slot, MemberDescriptorType):
            with suppress(AttributeError):  # nothing is in it; `getattr` would have a class make something up
                members.append(slot.__get__(value))
    with suppress(AttributeError):  # as above
        members += object.__getattribute__(value, "__dict__").values()
    return members if has_fields(value) else [member for member in members if not comes_later(member)]
