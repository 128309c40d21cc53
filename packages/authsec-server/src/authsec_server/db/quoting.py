"""Quote names in SQL, and run statements with names that somebody else chose.

The attack: raw SQL gives a column, a partition or a schema a name that is a call of a function or a placeholder.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, CursorResult


def quoted(name: str, quote: str = '"') -> str:
    """Return the name as a quoted identifier of SQL."""
    return f"{quote}{name.replace(quote, quote * 2)}{quote}"


def run_as_written(connection: Connection, statement: str) -> CursorResult[Any]:
    """Run a statement without parameters.

    In a name, SQLAlchemy's `text` takes `:y` for a parameter, and psycopg takes `%b` for a placeholder.
    """
    is_postgresql = connection.dialect.name == "postgresql"
    return connection.exec_driver_sql(statement.replace("%", "%%") if is_postgresql else statement)
