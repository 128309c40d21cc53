"""What people look for, as a condition: a part of a name, or the beginning of an id."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, false, or_


def matches(text: str, id_column: ColumnElement[Any], *names: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a name contains the text or the id begins with it, in either case; `%` and `_` mean themselves.

    Letters beyond ASCII match in either case on PostgreSQL, and as they are typed on SQLite.
    """
    if "\0" in text:  # PostgreSQL takes none, and nothing is called so
        return false()
    begins = id_column.startswith(text.lower(), autoescape=True)
    return or_(begins, *(name.icontains(text, autoescape=True) for name in names))
