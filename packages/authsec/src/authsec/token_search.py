"""Searches an object for tokens at any depth, in its text and in its attributes.

A token is found as plain text, or inside base64, as in the header of basic authentication. A JWT has only
letters, digits, `-`, `_` and `.`. So URLs, JSON, HTML and Python's repr do not change a JWT.

To find out an object's type, the search uses only `type`. `isinstance` would run code of the object, and some
objects (proxies of web frameworks) then raise an error.
"""

from __future__ import annotations

import base64
import dataclasses
from collections import deque
from collections.abc import AsyncIterator, Collection, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextlib import suppress
from functools import cached_property, lru_cache
from types import FunctionType, MemberDescriptorType, ModuleType, NoneType
from typing import Any, Final, Self

from authsec.issued_tokens import PREFIX_LENGTH, live_tokens, prefixes

REMOVED: Final = "[delegation token removed]"
_NOTHING: Final = (NoneType, bool, int, float, complex, type, ModuleType, FunctionType)
BYTES: Final = (bytes, bytearray, memoryview)
CONTAINERS: Final = (list, tuple, set, frozenset, deque, KeysView, ValuesView, ItemsView)


class TokenPatterns:
    """The patterns to search for: the given `tokens`, and all tokens of this process that may still be valid."""

    def __init__(self, tokens: Collection[str]) -> None:
        self._given = tokens

    def now(self) -> Self:
        """Return new patterns that also include the tokens issued after these patterns were made."""
        return type(self)(self._given)

    def found_in(self, text: str | bytes | bytearray | memoryview) -> bool:
        if isinstance(text, str):
            return self._may_be_in(text) and any(form in text for form in self._forms)
        octets = bytes(text)
        has_prefix = any(form.encode() in octets for form in self._prefixes)
        return has_prefix and any(form.encode() in octets for form in self._forms)

    def replaced(self, text: str) -> str:
        if self._may_be_in(text):
            for form in self._forms:
                text = text.replace(form, REMOVED)
        return text

    def _may_be_in(self, text: str) -> bool:
        return len(text) >= self._shortest and any(prefix in text for prefix in self._prefixes)

    @cached_property
    def _shortest(self) -> int:
        return min(map(len, self._prefixes), default=0)

    @cached_property
    def _prefixes(self) -> set[str]:
        every = {*(token[:PREFIX_LENGTH] for token in self._given), *prefixes()}
        return {form for prefix in every for form in _forms_of_prefix(prefix)}

    @cached_property
    def _forms(self) -> set[str]:
        return _forms_of({*self._given, *live_tokens()})


@dataclasses.dataclass(slots=True)
class Budget:
    """The limits of one search: a number of containers, and a number of other objects.

    The limit for other objects is lower, because each `repr` costs time.
    """

    objects: int = 10_000
    containers: int = 1_000_000

    @property
    def is_spent(self) -> bool:
        return self.objects < 0 or self.containers < 0


def has_token(
    patterns: TokenPatterns, values: Iterable[Any], budget: Budget, *, inside: bool = True, later: bool = True
) -> bool:
    """Whether one of these values contains a token, or may contain one.

    A set of values that is too large to search may contain a token. `inside` and `later` choose what is searched:

    - Without `inside`, only the `str` and the `repr` of an object are searched, and not its attributes.
      Containers are always searched.
    - With `later`, the result is True for an iterator, because it could still yield a token.
    """
    waiting = list(values)
    # The dict refers to the objects too, so Python does not reuse their ids.
    seen: dict[int, Any] = {}
    while waiting:
        one = waiting.pop()
        if is_a(one, (str, *BYTES)):
            if patterns.found_in(one):
                return True
        elif not is_plain(one) and id(one) not in seen:
            seen[id(one)] = one
            parts = _members_of_container(one, budget)
            if parts is not None:
                waiting += parts
            elif not is_iterator(one):
                waiting += _parts_of_object(one, budget, inside=inside)
            elif later:
                return True
            if budget.is_spent:
                # A value that is too large to search may contain a token.
                return True
    return False


def text_of(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a foreign class may raise anything
        return f"[{type(value).__name__}]"


def repr_of(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a foreign class may raise anything
        return ""


def _members_of_container(value: Any, budget: Budget) -> list[Any] | None:
    """Return the members of a container. Return None for any other object, or if the container raises an error."""
    try:
        if is_a(value, Mapping):
            members = [*value.keys(), *value.values()]
        elif is_a(value, CONTAINERS):
            members = [*value]
        else:
            return None
    except Exception:  # noqa: BLE001 - a foreign class, such as a pool of urllib3, may refuse this
        return None
    budget.containers -= 1
    return members


def _parts_of_object(value: Any, budget: Budget, *, inside: bool) -> list[Any]:
    budget.objects -= 1
    return [text_of(value), repr_of(value), *(_members(value) if inside else ())]


def _members(value: Any) -> list[Any]:
    """Return the values of the object's attributes.

    Iterators are omitted, except in dataclasses and pydantic models: frameworks serialize their fields and so run
    the iterators.
    """
    members: list[Any] = []
    for slot in (slot for kind in type(value).__mro__ for slot in vars(kind).values()):
        if isinstance(slot, MemberDescriptorType):
            with suppress(AttributeError):
                # The slot is empty. `getattr` could call the class's own `__getattr__`, which invents a value.
                members.append(slot.__get__(value))
    with suppress(AttributeError):  # The object has no `__dict__`.
        members += object.__getattribute__(value, "__dict__").values()
    return members if has_fields(value) else [member for member in members if not is_iterator(member)]


@lru_cache(maxsize=64)
def _forms_of_prefix(prefix: str) -> set[str]:
    """Return a token's prefix as plain text and in base64.

    The result is cached, because each call of a tool needs it. The prefix is a part of the token's header, and no
    secret.
    """
    return _forms_of([prefix])


def _forms_of(tokens: Collection[str]) -> set[str]:
    return {form for token in tokens for form in (token, *_in_base64(token)) if form}


def _in_base64(token: str) -> list[str]:
    """Return three base64 texts of the token. Every base64 text that contains the token contains one of these three.

    Base64 encodes groups of three bytes, and the token can start at any byte of a group. Up to two bytes at each
    end are left out, because their encoding depends on the text around the token. A JWT is ASCII, and for ASCII
    the URL-safe alphabet yields the same characters.
    """
    sent = token.encode()
    return [base64.b64encode(sent[start : start + (len(sent) - start) // 3 * 3]).decode("ascii") for start in range(3)]


def is_a(value: Any, kinds: type | tuple[type, ...]) -> bool:
    """Whether the object's type is one of `kinds`. Unlike `isinstance`, this check ignores a false `__class__`."""
    return issubclass(type(value), kinds)


def is_plain(value: Any) -> bool:
    """Whether the search must skip the value: it cannot contain a token, such as a number, or it is a mock.

    A mock in the test of a tool seems to have every attribute. It makes a new mock for each access.
    """
    return is_a(value, _NOTHING) or type(value).__module__ == "unittest.mock"


def is_iterator(value: Any) -> bool:
    """Whether the value is an iterator.

    The items of an iterator do not exist yet: frameworks (ag2, pydantic-ai) run the iterator later.
    """
    return is_a(value, (Iterator, AsyncIterator))


def has_fields(value: Any) -> bool:
    """Whether the value is a dataclass or a pydantic model. Frameworks serialize such objects field by field."""
    return dataclasses.is_dataclass(type(value)) or callable(getattr(type(value), "model_copy", None))
