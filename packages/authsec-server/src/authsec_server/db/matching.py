"""What people look for, as a condition: a part of a name, the beginning of an id; and many values, some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, false, or_, select

T = TypeVar("T")
SIZE: Final = 500


def in_batches(values: Iterable[T], size: int = SIZE) -> Iterator[list[T]]:
    """The values in their order, so many at a time."""
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some


LONGEST: Final = 2000  # characters that are looked for, as many as anything has that is looked through
_AROUND: Final = 100  # to each side; to compare them takes milliseconds, during which others may wait for a lock


def unheard_of(text: str) -> bool:
    """Whether nothing can be called so. PostgreSQL takes no NUL, and SQLite looks for no text of fifty thousand."""
    return "\0" in text or len(text) > LONGEST


def matches(text: str, id_column: ColumnElement[Any], *names: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a name contains the text or the id begins with it, in either case; `%` and `_` mean themselves.

    Letters beyond ASCII match in either case on PostgreSQL, and as they are typed on SQLite.
    """
    if unheard_of(text):
        return false()
    begins = id_column.startswith(text.lower(), autoescape=True)
    return or_(begins, *(name.icontains(text, autoescape=True) for name in names))


def neighbours(connection: Connection, names: ColumnElement[str], text: str) -> list[str]:
    """The names that come before and behind the text in their order, and no more of them than are compared quickly.

    That is all of them where there are few; of many, those that are spelt otherwise only towards their end.
    """
    before = select(names).where(names < text).order_by(names.desc()).limit(_AROUND)
    behind = select(names).where(names >= text).order_by(names).limit(_AROUND)
    return [*connection.scalars(before), *connection.scalars(behind)]
