"""Pin each PostgreSQL session to AuthSec's schema, despite settings of the role, the database or the server.

The attack: a superuser sets a trap that leads the server's role to another table `events`. The trap can be a
search path, a schema of the role's name, or a trigger at login. Once the server's session is open, the
superuser removes the trap. `authsec audit verify` uses another session and finds nothing.

So the server and `verify` both pin their sessions. Options of the connection override settings of roles and
databases. `RESET ALL` undoes the effect of a login trigger. The sessions use the schema that contains
AuthSec's tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from sqlalchemy import URL

from authsec_server.db.foreign_code import foreign_code

SCHEMA: Final = "schema"  # the parameter of a database URL that names the schema
OPTIONS: Final = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "row_security": "off",  # a policy that would hide rows makes the statement fail
    "quote_all_identifiers": "off",  # else the schema is shown with other names
    "constraint_exclusion": "off",  # else the planner believes a constraint instead of reading rows
    "enable_partition_pruning": "on",
    "default_table_access_method": "heap",  # of new partitions
    "idle_session_timeout": "0",
}
# Only superusers may set these. So the server compares them, and does not set them.
EXPECTED: Final = {
    "session_replication_role": "origin",
    "zero_damaged_pages": "off",
    "ignore_checksum_failure": "off",
    "ignore_system_indexes": "off",
}
_AS_CONNECTED: Final = "SET SESSION AUTHORIZATION DEFAULT; SET ROLE NONE; RESET ALL"
_FIRST_WITH_TRANSACTION_TIMEOUT: Final = 170000  # the first version with this setting
_HOMES: Final = """
SELECT n.nspname::text FROM pg_namespace n WHERE 3 = (SELECT count(*) FROM pg_class c
    WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND c.relname IN ('alembic_version', 'authority', 'events')) ORDER BY 1
"""
_WHERE: Final = """
SELECT CASE WHEN pg_catalog.pg_my_temp_schema() <> 0 THEN 'temporary tables of ' ELSE '' END
    || pg_catalog.current_database() || '.' || pg_catalog.current_schema()
"""


class OtherSession(psycopg.OperationalError):
    """The error that the session would read other tables or rows than AuthSec's.

    The text has the reason, and `remedy` the fix.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def with_schema_apart(url: URL) -> tuple[URL, str]:
    """Return the URL without the schema, as libpq accepts it, and the schema; empty if the URL names none."""
    named = url.query.get(SCHEMA, "")
    return url.difference_update_query([SCHEMA]), named if isinstance(named, str) else named[-1]


def pin(driver: psycopg.Connection[Any], schema: str, settings: Mapping[str, Any]) -> tuple[str, str]:
    """Pin a session that was just opened to `schema`; if `schema` is empty, to the schema with AuthSec's tables.

    `settings` are those of the connection's options, which a pooler may have ignored.

    Return the schema, and a text that names the session's database and schema; `is_pinned` compares this text.
    Raises `OtherSession`.
    """
    before, driver.autocommit = driver.autocommit, True
    driver.execute(_AS_CONNECTED)
    driver.execute("; ".join(f"SET {name} = '{value}'" for name, value in settings.items()).encode())
    for statement in _without_limits(driver):
        driver.execute(statement)
    _refuse_foreign_code(driver)
    own = _value(driver, "SELECT pg_catalog.current_schema()")  # a new database gets its tables there
    driver.execute("SET search_path = pg_catalog")
    _compare_settings(driver)
    schema = schema or _home(driver) or own or "public"
    _set_path(driver, schema)
    path = _value(driver, "SELECT pg_catalog.current_schemas(true)")
    if path[:2] != ["pg_catalog", schema]:
        raise OtherSession(
            f'The role {driver.info.user} cannot use the schema "{schema}", or the schema does not exist.',
            f'Create the schema, or run: GRANT USAGE ON SCHEMA "{schema}" TO "{driver.info.user}".',
        )
    where: str = _value(driver, _WHERE)
    driver.autocommit = before
    return schema, where


def _without_limits(driver: psycopg.Connection[Any]) -> Iterator[LiteralString]:
    """Yield the statements that remove limits, because a limit could end a check.

    Only statements that the server and the role allow are yielded. Options of the connection cannot remove limits: a
    server that does not know a setting refuses the connection.
    """
    if driver.info.server_version >= _FIRST_WITH_TRANSACTION_TIMEOUT:
        yield "SET transaction_timeout = 0"
    if driver.info.parameter_status("is_superuser") == "on":
        yield "SET temp_file_limit = -1"


def lead_back(driver: psycopg.Connection[Any], schema: str) -> None:
    """Reset the search path of an idle session to the schema of its `pin`.

    PostgreSQL plans no statement for this. The attack: a function that ran in an earlier transaction has set
    another path.
    """
    before, driver.autocommit = driver.autocommit, True
    try:
        _set_path(driver, schema)
    finally:
        driver.autocommit = before


def _set_path(driver: psycopg.Connection[Any], schema: str) -> None:
    driver.execute(_path_statement(schema))


@cache
def _path_statement(schema: str) -> bytes:
    quoted = schema.replace('"', '""')
    return f'SET search_path = "{quoted}", pg_temp'.encode()  # last: otherwise, temporary tables come first


def is_pinned(driver: psycopg.Connection[Any], where: str, schema: str) -> bool:
    """Whether an idle session still uses the database and schema from `pin`, and a new session would use them too.

    The attack: while a session opens, somebody swaps the names of two databases or schemas. Later, each gets its
    own name back. The result is also false if the session has temporary tables or the database has foreign code
    (see `foreign_code`).
    """
    before, driver.autocommit = driver.autocommit, True
    try:
        if next(foreign_code(driver, briefly=True), None):
            return False  # a new session raises the reason
        homes = [schema] if schema else [row[0] for row in driver.execute(_HOMES)]
        return _value(driver, _WHERE) == where and (not homes or where.endswith(f".{homes[0]}"))
    finally:
        driver.autocommit = before


def _refuse_foreign_code(driver: psycopg.Connection[Any], *, briefly: bool = False) -> None:
    if found := next(foreign_code(driver, briefly=briefly), None):
        raise OtherSession(found.finding, found.remedy)


def _home(driver: psycopg.Connection[Any]) -> str:
    homes = [row[0] for row in driver.execute(_HOMES)]
    if len(homes) > 1:
        raise OtherSession(
            f"Several schemas of the database have AuthSec's tables: {', '.join(homes)}.",
            f"Find who created the others. Name the correct schema in the database URL: postgresql://…?{SCHEMA}=NAME.",
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
