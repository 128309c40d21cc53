"""Search conditions for names and ids, and batches of values for long `IN` lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, false, func, or_, select

T = TypeVar("T")
SIZE: Final = 500


def in_batches(values: Iterable[T], size: int = SIZE) -> Iterator[list[T]]:
    """Yield the values in their order, in lists of at most `size`."""
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some


LONGEST: Final = 2000  # characters of a search text; no searched value is longer
_AROUND: Final = 100  # names on each side; others may wait for a lock while these are compared


def unheard_of(text: str) -> bool:
    """Whether no name can contain this text: the text has a NUL, or is too long.

    PostgreSQL refuses NUL in a text, and SQLite refuses a search for a text of fifty thousand characters.
    """
    return "\0" in text or len(text) > LONGEST


def matches(text: str, id_column: ColumnElement[Any], *names: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return a condition, ignoring case: a name contains the text, or the id begins with the text.

    The characters `%` and `_` match only themselves.
    For letters beyond ASCII, PostgreSQL ignores case and SQLite does not.
    """
    if unheard_of(text):
        return false()
    begins = id_column.startswith(text.lower(), autoescape=True)
    return or_(begins, *(name.icontains(text, autoescape=True) for name in names))


def count_up_to(connection: Connection, some: Select[Any], most: int) -> int:
    """Return the number of rows, at most `most`. Counting further rows would take time."""
    number: int = connection.execute(select(func.count()).select_from(some.limit(most).subquery())).scalar_one()
    return number


def neighbours(connection: Connection, names: ColumnElement[str], text: str) -> list[str]:
    """Return the names next to the text in alphabetical order, at most 100 on each side.

    In a small table, these are all names. In a large table, these are names that differ from the text only near
    the end. The limit keeps the comparison fast, because other transactions may wait for a lock meanwhile.
    """
    before = select(names).where(names < text).order_by(names.desc()).limit(_AROUND)
    behind = select(names).where(names >= text).order_by(names).limit(_AROUND)
    return [*connection.scalars(before), *connection.scalars(behind)]
