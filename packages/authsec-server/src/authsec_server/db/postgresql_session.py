"""What a new session on PostgreSQL sees: AuthSec's schema, whatever is set for the role, the database or the server.

A superuser can lead the server's role to another table `events` by a search path, by a schema of the role's name, or by
a trigger at login, and take that back once the session is there. `authsec audit verify` uses another session, and finds
nothing. So both pin their sessions: options of the connection win over settings of roles and databases, `RESET ALL`
undoes a login trigger, and the schema follows from the tables that are in the database.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import URL

SCHEMA: Final = "schema"  # the parameter of a database URL that names the schema
OPTIONS: Final = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "row_security": "off",  # a policy that would hide rows makes the statement fail
}
# Only superusers may set these. So the server compares them, and does not set them.
EXPECTED: Final = {
    "session_replication_role": "origin",
    "zero_damaged_pages": "off",
    "ignore_checksum_failure": "off",
    "ignore_system_indexes": "off",
}
_AS_CONNECTED: Final = "SET SESSION AUTHORIZATION DEFAULT; SET ROLE NONE; RESET ALL"
_HOMES: Final = """
SELECT n.nspname::text FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND 3 = (SELECT count(*) FROM pg_class c
    WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
    AND c.relname IN ('alembic_version', 'authority', 'events')) ORDER BY 1
"""
_WHERE: Final = "SELECT pg_catalog.current_database() || '.' || pg_catalog.current_schema()"


class OtherSession(psycopg.OperationalError):
    """The session would see other tables, or other rows, than AuthSec's. Its text says why; `remedy` what helps."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def with_schema_apart(url: URL) -> tuple[URL, str]:
    """The URL as libpq takes it, and the schema that it names; empty where it names none."""
    named = url.query.get(SCHEMA, "")
    return url.difference_update_query([SCHEMA]), named if isinstance(named, str) else named[-1]


def pin(driver: psycopg.Connection[Any], schema: str) -> str:
    """Make a session that was just opened see `schema` alone, or the one that has AuthSec's tables if that is empty.

    Returns the names of database and schema, as `is_pinned` compares them. Raises `OtherSession`.
    """
    before, driver.autocommit = driver.autocommit, True
    driver.execute(_AS_CONNECTED)
    own = _value(driver, "SELECT pg_catalog.current_schema()")  # a new database gets its tables there
    driver.execute("SET search_path = pg_catalog")
    _compare_settings(driver)
    schema = schema or _home(driver) or own or "public"
    # Temporary tables come last: unless the path names them, they come first.
    driver.execute(sql.SQL("SET search_path = {}, pg_temp").format(sql.Identifier(schema)))
    path = _value(driver, "SELECT pg_catalog.current_schemas(true)")
    if path[:2] != ["pg_catalog", schema]:
        raise OtherSession(
            f'The role {driver.info.user} cannot use the schema "{schema}" of the database, or there is none.',
            f'Create the schema, or run: GRANT USAGE ON SCHEMA "{schema}" TO "{driver.info.user}".',
        )
    where: str = _value(driver, _WHERE)
    driver.autocommit = before
    return where


def is_pinned(driver: psycopg.Connection[Any], where: str, schema: str) -> bool:
    """Whether an idle session is still in the database and the schema that `pin` said, and a new one would be, too.

    The attack: a database or a schema has the name of another while a session is opened, and gets its own name back.
    """
    before, driver.autocommit = driver.autocommit, True
    try:
        homes = [schema] if schema else [row[0] for row in driver.execute(_HOMES)]
        return _value(driver, _WHERE) == where and (not homes or where.endswith(f".{homes[0]}"))
    finally:
        driver.autocommit = before


def _home(driver: psycopg.Connection[Any]) -> str:
    homes = [row[0] for row in driver.execute(_HOMES)]
    if len(homes) > 1:
        raise OtherSession(
            f"Several schemas of the database have AuthSec's tables: {', '.join(homes)}.",
            f"Name the right one in the database URL, as in postgresql://…?{SCHEMA}={homes[0]}.",
        )
    return homes[0] if homes else ""


def _compare_settings(driver: psycopg.Connection[Any]) -> None:
    for name, expected in EXPECTED.items():
        if (value := _value(driver, sql.SQL("SHOW {}").format(sql.Identifier(name)))) != expected:
            raise OtherSession(
                f"The setting {name} of the database session is {value}, not {expected}.",
                "Find who set it for the role, the database or the server, and reset it.",
            )


def _value(driver: psycopg.Connection[Any], statement: str | sql.Composed) -> Any:
    row = driver.execute(statement.encode() if isinstance(statement, str) else statement).fetchone()
    assert row is not None
    return row[0]
