"""Refuse writes that triggers, rules or other foreign code could change.

The attack: raw SQL adds a trigger, and removes it before the next check. The trigger leaves out the event of a token,
or undoes a part of an honest change. So servers compare the number of rows that they wrote. On SQLite, servers also
compare the schema of the file with the migrations' schema, after each change and each reload of the schema. On
PostgreSQL, each change of authority searches the schema for such code.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from authsec_server.db.catalog import (
    OBJECTS,
    foreign_keys,
    is_extension,
    normalised,
    reference_listing,
    sqlite_objects,
    tables_of_authsec,
)
from authsec_server.db.postgresql_catalog import SchemaObject
from authsec_server.db.postgresql_queries import FIRST_NORMAL
from authsec_server.db.sqlite_reading import any_text, sqlite_driver_of
from authsec_server.db.table_changes import TableChanges
from authsec_server.failures import Unavailable

log = structlog.get_logger(__name__)

_COMPARED: Final = "compared_schema"  # in the `info` of a connection: the version, and the object that was found
_HARMLESS: Final = {"table": ("CREATE TABLE ", "CREATE VIRTUAL TABLE "), "view": ("CREATE VIEW ",)}
_HARMLESS_INDEX: Final = ("CREATE INDEX ", "")  # not UNIQUE. SQLite's own indexes have no definition
# Matches stored expressions with a function, an operator or a type that the migrations do not use.
_CALL: Final = (
    r":(?:func|opfunc|hashfunc|negfunc)id (?!(?:0|65|67|157|669|1574) )"  # int4eq, texteq, textne, varchar, nextval
    r"|:opno (?!(?:96|98|531) )|:opnos"  # = of integer, = of text, <> of text
    r"|type(?:id)? [1-9][0-9]{4}"
)
# A foreign key that writes to our rows is one of the migrations' own: it deletes the rows of a deleted parent.
# The attack: a foreign key with ON DELETE SET DEFAULT undoes a part of a change, in the same statement.
_CASCADE: Final = """
confupdtype = 'a' AND confdeltype = 'c' AND cardinality(conkey) = 1 AND (conrelid, confrelid) IN (
    SELECT its.oid, of.oid FROM cascades
    JOIN pg_class its ON its.relname = child AND its.oid IN (SELECT oid FROM roots)
    JOIN pg_class of ON of.relname = parent AND of.oid IN (SELECT oid FROM roots)
    JOIN pg_attribute own ON own.attrelid = its.oid AND own.attnum = conkey[1] AND own.attname = child_column
    JOIN pg_attribute its_key ON its_key.attrelid = of.oid AND its_key.attnum = confkey[1]
        AND its_key.attname = parent_column)
"""
_LONGEST: Final = 8192  # octets of a compressed expression. The migrations' have less than a thousand
# Counts operators, functions, casts and so on that PostgreSQL might choose for a statement of AuthSec (see
# `namesakes`). The literals have types, because PostgreSQL has its own operator for exactly these types.
_CATALOGS: Final = ("pg_operator", "pg_proc", "pg_cast", "pg_opclass", "pg_amop", "pg_am")
_COUNT: Final = f"(SELECT count(*) FROM pg_catalog.{{}} WHERE oid >= {FIRST_NORMAL}::oid)"  # noqa: S608 - of constants
_ADDED: Final = f"SELECT {' + '.join(map(_COUNT.format, _CATALOGS))}".encode()
_REMEDY: Final = "The operator finds the trigger or rule: authsec audit verify"


def changes(connection: Connection) -> int:
    """Return the number of rows that SQLite has changed in this session, also by triggers; 0 on PostgreSQL."""
    if connection.dialect.name != "sqlite":
        return 0
    total: int = sqlite_driver_of(connection).total_changes
    return total


def refuse_interference(connection: Connection, table: str, before: int, *, rows: int, written: int) -> None:
    """Raise `Unavailable` if the database did not write all `rows`, or if SQLite also changed other rows.

    `before` is the result of `changes` before the statement. The attack: a trigger leaves out the event of a token, or
    deletes the event. SQLite does not count the rows that a constraint with ON CONFLICT REPLACE deletes: see
    `refuse_foreign_schema`.
    """
    if written != rows or (connection.dialect.name == "sqlite" and changes(connection) - before != rows):
        raise interference(table)


def refuse_any_interference(connection: Connection, table: str, before: int, *, rows: int, written: int) -> None:
    """Do both checks: `refuse_interference` for the statement, and `refuse_foreign_schema` for its transaction."""
    refuse_interference(connection, table, before, rows=rows, written=written)
    refuse_foreign_schema(connection)


def refuse_rewritten(changes: TableChanges) -> None:
    """Raise `Unavailable` if a row of the change was written again after its digest was computed."""
    if name := changes.written_again():
        raise interference(name)


def interference(table: str) -> Unavailable:
    """Log that a trigger or a rule changes writes to this table, and return the failure."""
    log.error("a trigger or a rule changes what servers write: authsec audit verify", table=table)
    return Unavailable(f"A trigger or a rule changes what servers write to the table {table}.", _REMEDY)


def refuse_foreign_code(connection: Connection) -> None:
    """Raise `Unavailable` if the tables on PostgreSQL have foreign code that could change the writes of a change.

    A change calls this function after its last write. The change locks its tables until the commit, so nobody can
    remove a trigger, a rule or an expression that has run. Afterwards, PostgreSQL has checked all constraints, so it
    checks none at the commit.
    """
    from authsec_server.db.foreign_code import foreign_code  # imports psycopg, which SQLite does not need

    connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
    if found := connection.exec_driver_sql(_query()).scalar():
        raise _foreign_code(found)
    driver: Any = connection.connection.driver_connection
    row = driver.execute(_ADDED).fetchone()
    if code := next(foreign_code(driver, briefly=row == (0,)), None):
        log.error("PostgreSQL would run foreign code: authsec audit verify", found=code.finding)
        raise Unavailable(code.finding, code.remedy)


def refuse_foreign_schema(connection: Connection) -> None:
    """Raise `Unavailable` if the schema of the SQLite file has foreign code that could change a write.

    One call, before or after the write, covers the whole transaction, which has the write lock. No effect on
    PostgreSQL.
    """
    if connection.dialect.name == "sqlite" and (found := compare_schema(connection)):
        raise _foreign_code(found)


def _foreign_code(found: str) -> Unavailable:
    log.error("foreign code could change what servers write: authsec audit verify", found=found)
    return Unavailable(f"The {found} could change what servers write: a trigger, a rule or an expression.", _REMEDY)


def compare_schema(connection: Connection) -> str:
    """Return the name of an object in the SQLite file that could change a write, or an empty text.

    Each transaction that has the write lock calls this function first. So the schema is compared in the transaction
    in which SQLite reads it, and once per version.
    """
    present: int = sqlite_driver_of(connection).execute("PRAGMA schema_version").fetchone()[0]
    compared: tuple[int, str] | None = connection.info.get(_COMPARED)
    if compared is None or compared[0] != present:
        connection.info[_COMPARED] = compared = present, _foreign_object(connection)
    return compared[1]


def forget_schema(connection: Connection) -> None:
    """Forget the comparison of the schema, because SQLite reads the schema again.

    The attack: a person who writes the file by hand changes the schema, but not its version.
    """
    connection.info.pop(_COMPARED, None)


def _foreign_object(connection: Connection) -> str:
    """Find an object that could change a write. Foreign tables, views, plain columns and plain indexes change no write.

    The attack: somebody adds very many objects with definitions that take long to normalise. So this function
    normalises no definition of a foreign object.
    """
    expected = reference_listing("sqlite")[OBJECTS]
    seen = set[str]()
    with any_text(connection, "backslashreplace"):
        for each in sqlite_objects(connection):
            kind = each.name.partition(" ")[0]
            if each.name in expected:
                if each.name in seen:
                    return each.name
                seen.add(each.name)
                if is_extension(_unquoted(each), expected[each.name]):  # a newer AuthSec may have added columns
                    continue
            harmless = _HARMLESS_INDEX if kind == "index" else _HARMLESS.get(kind, ())
            if (each.name in expected and kind == "table") or not _begins_with(each.definition, harmless):
                return each.name
    return next((name for name in expected if name.startswith("table ") and name not in seen), "")


def _unquoted(each: SchemaObject) -> str:
    """Return the normalised definition without the quotes that `ALTER TABLE … RENAME` adds to the table's name."""
    table = each.name.rpartition(" ")[2]
    return normalised(each.definition).replace(f'"{table}"', table)


def _begins_with(definition: str, beginnings: tuple[str, ...]) -> bool:
    return any(definition.startswith(each) if each else not definition for each in beginnings)


def _calls(expression: str, owner: str) -> str:
    """Return the SQL condition that an expression of one of our tables calls foreign code, or is too long to read.

    CASE fixes the order of the conditions, so that PostgreSQL reads no expression of another table.
    """
    return (
        f"CASE WHEN NOT {owner} = ANY (oids) THEN false WHEN pg_column_size({expression}) > {_LONGEST} THEN true"
        f" ELSE {expression}::text ~ '{_CALL}' END"
    )


@cache
def _query() -> str:
    """Return the query for foreign code on PostgreSQL. The query has no parameters, so a session plans it once."""
    names = ", ".join(f"('{each}')" for each in tables_of_authsec())
    keys = ", ".join(f"({', '.join(map(repr, each[:4]))})" for each in foreign_keys() if each.cascades)
    return f"""
WITH RECURSIVE cascades (child, child_column, parent, parent_column) AS (VALUES {keys}),
roots (oid) AS (
    SELECT oid FROM pg_class WHERE relname IN (VALUES {names}) AND relkind IN ('r', 'p')
        AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())),
tree (oid) AS (SELECT oid FROM roots UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = tree.oid),
ours (oids) AS (SELECT ARRAY(SELECT oid FROM tree))
SELECT name || ' of ' || (SELECT relname FROM pg_class WHERE oid = owner) FROM (
    SELECT 'trigger ' || tgname AS name, tgrelid AS owner FROM pg_trigger, ours WHERE tgrelid = ANY (oids)
        AND (NOT tgisinternal OR tgconstrrelid <> 0::oid AND NOT tgconstrrelid = ANY (oids))
    UNION ALL SELECT 'rule ' || rulename, ev_class FROM pg_rewrite, ours WHERE ev_class = ANY (oids)
    UNION ALL SELECT 'policy ' || polname, polrelid FROM pg_policy, ours WHERE polrelid = ANY (oids)
    UNION ALL SELECT 'constraint ' || conname, conrelid FROM pg_constraint, ours WHERE conrelid = ANY (oids)
        AND (contype = 'x' OR {_calls("conbin", "conrelid")}
            OR contype = 'f' AND NOT (confupdtype IN ('a', 'r') AND confdeltype IN ('a', 'r') OR {_CASCADE}))
    UNION ALL SELECT 'default or generated column', adrelid FROM pg_attrdef, ours WHERE adrelid = ANY (oids)
        AND {_calls("adbin", "adrelid")}
    UNION ALL SELECT 'index ' || indexrelid::regclass, indrelid FROM pg_index, ours WHERE indrelid = ANY (oids)
        AND ({_calls("indexprs", "indrelid")} OR {_calls("indpred", "indrelid")}
            OR {FIRST_NORMAL}::oid <= ANY (indclass))
    UNION ALL SELECT 'column ' || attname, attrelid FROM pg_attribute, ours WHERE attrelid = ANY (oids)
        AND (atttypid >= {FIRST_NORMAL}::oid OR attcollation >= {FIRST_NORMAL}::oid OR attgenerated <> '')
    UNION ALL SELECT 'partition ' || relname, inhparent FROM ours, pg_inherits JOIN pg_class ON oid = inhrelid
        WHERE inhparent = ANY (oids) AND (relkind <> 'r' OR NOT relispartition)
    UNION ALL SELECT 'partition key', partrelid FROM pg_partitioned_table, ours WHERE partrelid = ANY (oids)
        AND (partexprs IS NOT NULL OR {FIRST_NORMAL}::oid <= ANY (partclass))
) AS found
UNION ALL SELECT 'view in the place of a table' WHERE (SELECT count(*) FROM roots) <> {len(tables_of_authsec())}
LIMIT 1
"""  # noqa: S608 - of constants
