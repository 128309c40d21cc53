"""Turn validation errors into messages for callers. The functions are pure: no I/O.

The messages quote names but never values, because a value may be secret.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Final, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from authsec_server import naming
from authsec_server.suggest import told_nearest

_FORMS: Final[Mapping[object, str]] = {str: "a text", int: "a whole number", bool: "true or false", dict: "a map"}
_GIVEN: Final[Mapping[type, str]] = {
    bool: "a truth value",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a map",
    NoneType: "empty",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """One validation error. `kind` is pydantic's error type. `given` is the refused value, which may be secret."""

    path: tuple[str | int, ...]
    kind: str
    given: object = dataclasses.field(repr=False)
    message: str
    remedy: str = ""

    @property
    def field(self) -> str:
        """Return the path to the value with dots between its parts, for example `a.0.b`."""
        return ".".join(map(str, self.path))


def misfits(refused: ValidationError, shape: type[BaseModel]) -> Iterator[Misfit]:
    """Yield the validation errors, at most one for each path. Unknown members come first.

    A member may be missing only because the caller misspelt its name. The unknown name then explains the error.
    """
    seen = set()
    errors = refused.errors(include_url=False)
    for error in sorted(errors, key=lambda each: each["type"] != "extra_forbidden"):
        at = _At(shape)
        for part in error["loc"]:
            at.step(part)
        path = tuple(at.path)
        if path not in seen:  # a union type causes an error for each of its types
            seen.add(path)
            message, remedy = _said(error, at)
            yield Misfit(path=path, kind=error["type"], given=error["input"], message=message, remedy=remedy)


def unknown(name: str, known: Sequence[str]) -> tuple[str, str]:
    """Return two sentences about an unknown field: the message, and the remedy with the most similar known name."""
    listed = f"Known fields: {', '.join(known)}" if known else "Remove the field: no fields are expected here."
    return f"Unknown field {naming.quoted(name)}.", told_nearest(name, known, listed, likeness=0.5)


class _At:
    """A position in a model, with the types that are valid at this position (`forms`).

    `path` leads to the position. `shape` is the model that contains the last member of the path.
    """

    def __init__(self, shape: type[BaseModel]) -> None:
        self.path: list[str | int] = []
        self.shape = shape
        self.forms: list[object] = [shape]

    def step(self, part: str | int) -> None:
        """Move to the member or list item that `part` names.

        Pydantic's paths also contain the names of union types. The method ignores such a part.
        """
        for form in self.forms:
            inside = _inside(form, part)
            if inside is not None:
                self.path.append(part)
                self.shape = form if _is_shape(form) else self.shape
                self.forms = inside
                return


def _inside(form: Any, part: str | int) -> list[object] | None:
    if _is_shape(form):
        return _forms(form.model_fields[str(part)].annotation) if part in form.model_fields else []
    if get_origin(form) is list and isinstance(part, int):
        return _forms(get_args(form)[0])
    return _forms(get_args(form)[1]) if get_origin(form) is dict else None


def _forms(annotation: object) -> list[object]:
    several = get_origin(annotation) in {Union, UnionType}
    return [each for each in (get_args(annotation) if several else (annotation,)) if each is not NoneType]


def _is_shape(form: object) -> TypeGuard[type[BaseModel]]:
    return inspect.isclass(form) and issubclass(form, BaseModel)


def _said(error: Mapping[str, Any], at: _At) -> tuple[str, str]:
    name, limits = _name(at.path), error.get("ctx", {})
    known = at.shape.model_fields
    match error["type"]:
        case "extra_forbidden":
            return unknown(str(at.path[-1]), [*known])
        case "missing":
            return f"{name} is missing.", known[str(at.path[-1])].description or ""
        case "literal_error":
            return f"{name} must be {limits['expected']}.", ""
        case "greater_than_equal":
            return f"{name} must be at least {limits['ge']}.", ""
        case "less_than_equal":
            return f"{name} must be at most {limits['le']}.", ""
        case "too_short":
            return f"{name} must have a length of at least {limits['min_length']}.", ""
        case "too_long":
            return f"{name} must have a length of at most {limits['max_length']}.", ""
    given = _GIVEN.get(type(error["input"]), "something else")
    wanted = " or ".join(map(_form, at.forms))
    return f"{name} must be {wanted}, but is {given}.", ""


def _name(path: Sequence[str | int]) -> str:
    """Return a name for the position at `path`: the last member, followed by the index if the position is in a list."""
    if not path:
        return "The body"
    return str(path[-1]) if isinstance(path[-1], str) else f"{_name(path[:-1])}.{path[-1]}"


def _form(form: object) -> str:
    if get_origin(form) is list:
        return "a list of strings" if get_args(form) == (str,) else "a list"
    return _FORMS.get(get_origin(form) or form, "a map" if _is_shape(form) else "of another type")
