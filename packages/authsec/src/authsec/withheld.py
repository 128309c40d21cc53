"""What a tool returns or raises, with its token withheld: whatever it is, frameworks hand it to the model.

An API that echoes the request's headers, or a library whose exception quotes them, would take the token there. What
holds none stays the very same object. The search is for the token as it is sent: a tool that encodes it is not found
out.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import Collection, ItemsView, Iterable, KeysView, Mapping, ValuesView
from types import FunctionType, ModuleType, NoneType
from typing import Any, Final

from authsec.outgoing.api_errors import api_refusal
from authsec.wording import plain

_REMOVED: Final = "[delegation token removed]"
_LEFT_OUT: Final = "[left out: the result holds a delegation token]"
_DEEPEST: Final = 100  # of what is made anew; the stack of a framework's run is deep already
_HOLD_NOTHING: Final = (NoneType, bool, int, float, complex, type, ModuleType, FunctionType)
_BYTES: Final = (bytes, bytearray, memoryview)
_CONTAINERS: Final = (list, tuple, set, frozenset, deque, KeysView, ValuesView, ItemsView)


@dataclasses.dataclass(slots=True)
class _Budget:
    """How much is looked at: containers, and objects of other kinds, whose every repr is asked for."""

    objects: int = 10_000
    containers: int = 1_000_000

    @property
    def is_spent(self) -> bool:
        return self.objects < 0 or self.containers < 0


class ToolError(Exception):
    """A tool failed. The text is made for the model; the cause is not attached, since frameworks print it."""


def withheld(tokens: Collection[str], value: Any) -> Any:
    """`value`, or if it holds one of the tokens, the same with each replaced.

    Containers, dataclasses and pydantic models are made anew. Objects of other kinds that hold one (an HTTP response
    with the request that it answers, say), and what is too large to be searched, become text.
    """
    return _Remaking(tokens).of(value) if _hold(tokens, [value], _Budget()) else value


def safe_error(tokens: Collection[str], error: Exception, kind: type[Exception] = ToolError) -> Exception:
    """The error itself, unless it or what stands behind it holds one of the tokens; then one of `kind`, to be raised
    where the other is no longer being handled, or that would be its context.
    """
    return (
        error
        if not _hold(tokens, _behind(error), _Budget())
        else kind(f"{type(error).__name__}: {told(tokens, error)}")
    )


def told(tokens: Collection[str], error: Exception) -> str:
    """What a model may read of an error."""
    refusal = api_refusal(error)
    return _replaced(tokens, refusal.text) if refusal else plain(_replaced(tokens, _text(error)), 300)


def _hold(tokens: Collection[str], values: Iterable[Any], budget: _Budget) -> bool:
    """Whether one of the tokens is in there, at any depth: what is stored is what an object has, not what it shows."""
    waiting = list(values)
    seen: dict[int, Any] = {}  # with the objects, so that no other gets the id of one
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if any(token in one for token in tokens):
                return True
        elif isinstance(one, _BYTES):
            if any(token.encode() in bytes(one) for token in tokens):
                return True
        elif not isinstance(one, _HOLD_NOTHING) and id(one) not in seen:
            seen[id(one)] = one
            if isinstance(one, Mapping):
                budget.containers -= 1
                waiting += [*one.keys(), *one.values()]
            elif isinstance(one, _CONTAINERS):
                budget.containers -= 1
                waiting += one
            else:
                budget.objects -= 1
                waiting += [_text(one), _shown(one), *_members(one)]
            if budget.is_spent:
                return True  # of what is too large to be searched, the text is
    return False


def _members(value: Any) -> list[Any]:
    """What the object has of its own."""
    members: list[Any] = []
    for kind in type(value).__mro__:
        names = vars(kind).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            hidden = name.startswith("__") and not name.endswith("__")
            members.append(getattr(value, f"_{kind.__name__.lstrip('_')}{name}" if hidden else name, None))
    own = getattr(value, "__dict__", None)
    return [*members, *own.values()] if isinstance(own, dict) else members


def _behind(error: Exception) -> list[Any]:
    """All that an error, and what stands behind it, may be printed from."""
    found: list[Any] = []
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or any(one is other for other in seen):
            continue
        seen.append(one)
        found += [_text(one), _shown(one), one.args, getattr(one, "__notes__", ())]
        waiting += [one.__cause__, one.__context__]
        waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
    return [held for held in found if held is not error]


class _Remaking:
    """Makes what holds a token anew, without it: each object once, so that what is shared or goes round ends."""

    def __init__(self, tokens: Collection[str]) -> None:
        self._tokens = tokens
        self._made: dict[int, tuple[Any, Any]] = {}
        self._budget = _Budget()  # for all of it: what is inside of several is searched with each

    def of(self, value: Any, depth: int = 0) -> Any:
        if isinstance(value, str):
            return _replaced(self._tokens, value)
        if isinstance(value, _BYTES):
            return _replaced(self._tokens, bytes(value).decode("latin-1")).encode("latin-1")
        if isinstance(value, _HOLD_NOTHING):
            return value
        if id(value) not in self._made:
            self._made[id(value)] = value, _LEFT_OUT  # for whatever is inside of it and leads back to it
            self._made[id(value)] = value, self._anew(value, depth + 1) if depth < _DEEPEST else _LEFT_OUT
        return self._made[id(value)][1]

    def _anew(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {self.of(name, depth): self.of(member, depth) for name, member in value.items()}
        if isinstance(value, _CONTAINERS):
            members = [self.of(member, depth) for member in value]
            if hasattr(value, "_fields"):
                return type(value)(*members)
            return type(value)(members) if type(value) in _CONTAINERS else members
        if not _hold(self._tokens, [value], self._budget):
            return value
        made = None if self._budget.is_spent else self._with_other_fields(value, depth)
        if made is None or _hold(self._tokens, [made], self._budget):
            return _replaced(self._tokens, _text(value))
        return made

    def _with_other_fields(self, value: Any, depth: int) -> Any:
        """A copy of a dataclass or a pydantic model, or None for what is neither."""
        try:
            if callable(getattr(type(value), "model_copy", None)):
                return value.model_copy(update={name: self.of(member, depth) for name, member in value})
            if not dataclasses.is_dataclass(value):
                return None
            copied = copy.copy(value)
            for field in dataclasses.fields(value):
                object.__setattr__(copied, field.name, self.of(getattr(value, field.name), depth))
        except Exception:  # noqa: BLE001 - classes of others, which may forbid any of it: then it is told as text
            return None
        return copied


def _replaced(tokens: Collection[str], text: str) -> str:
    for token in tokens:
        text = text.replace(token, _REMOVED)
    return text


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a class of others; what cannot be shown is not shown to a model either
        return f"[{type(value).__name__}]"


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - as above
        return ""
