"""Convert between the rows of a table and frozen dataclasses, by the names of columns and fields."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields
from enum import Enum
from functools import cache
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from sqlalchemy import JSON, Row, RowMapping, Table

T = TypeVar("T")
_Convert = Callable[[Any], Any]


def read(kind: type[T], row: Row[Any], **others: Any) -> T:
    """Return a dataclass of this kind with the values of the row. `others` are the fields without a column.

    A NULL becomes an empty text if the field is a `str`. Texts become enums, and JSON lists become tuples (also
    of enums), according to the types of the fields.
    """
    for index, name, convert in _reading(cast("Hashable", kind), row._fields):
        if name not in others:
            value = row[index]
            others[name] = value if convert is _same else convert(value)
    return kind(**others)


def read_values(kind: type[T], values: Mapping[str, Any] | RowMapping, **others: Any) -> T:
    """Return a dataclass as `read` does, from values that are not all columns of one row.

    For example, the values come from a JSON column or from two rows.
    """
    for name, convert in _readers(cast("Hashable", kind)):
        if name not in others and name in values:
            others[name] = convert(values[name])
    return kind(**others)


def write(table: Table, thing: Any, **others: Any) -> dict[str, Any]:
    """Return the values of the row for this dataclass. `others` are the columns without a field.

    An empty text is NULL in a column that may be NULL.
    """
    return {
        name: convert(getattr(thing, name)) for name, convert in _writers(table, cast("Hashable", type(thing)))
    } | others


@cache
def _readers(kind: type[Any]) -> tuple[tuple[str, _Convert], ...]:
    hints = get_type_hints(kind)
    return tuple((each.name, _reader(hints[each.name])) for each in fields(kind))


@cache
def _reading(kind: type[Any], columns: tuple[str, ...]) -> tuple[tuple[int, str, _Convert], ...]:
    """Return the place, name and conversion of each field that is a column."""
    places = {name: index for index, name in enumerate(columns)}
    return tuple((places[name], name, convert) for name, convert in _readers(cast("Hashable", kind)) if name in places)


def _reader(hint: Any) -> _Convert:
    if hint is str:
        # Equal ids and names of many rows are one object, because the facts of thousands of agents are cached.
        return lambda value: sys.intern(value) if value else ""
    enum = next((each for each in (hint, *get_args(hint)) if isinstance(each, type) and issubclass(each, Enum)), None)
    if get_origin(hint) is tuple:
        return tuple if enum is None else lambda values: tuple(map(enum, values))
    if enum is None:
        return _same
    if NoneType in get_args(hint):
        return lambda value: None if value is None else enum(value)
    return enum


@cache
def _writers(table: Table, kind: type[Any]) -> tuple[tuple[str, _Convert], ...]:
    hints = get_type_hints(kind)
    its = ((each.name, table.columns.get(each.name)) for each in fields(kind))
    return tuple(
        (name, _json if isinstance(column.type, JSON) else _null if column.nullable and hints[name] is str else _same)
        for name, column in its
        if column is not None
    )


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _null(value: str) -> str | None:
    return value or None


def _same(value: Any) -> Any:
    return value
