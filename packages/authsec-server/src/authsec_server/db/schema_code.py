"""Find objects of a PostgreSQL schema for which PostgreSQL could run foreign code while `verify` reads tables.

The attack: PostgreSQL computes the conditions of indexes and constraints while it plans a statement. It reads a child
table or a view in another schema instead of a table, and compares values with the functions of their type. A function
of an attacker there may never end, or lead the session to other tables.

So each object that differs from the migrations must be of a kind that runs nothing when a table is read. Code that runs
only in writes, such as a trigger, needs no foreign function here: `verify` writes nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Final

from authsec_server.db.postgresql_catalog import CALLING, TOO_LONG, SchemaObject
from authsec_server.db.postgresql_queries import FOREIGN_MARKS

_PLAIN_TABLE: Final = re.compile(r"(?:permanent|unlogged|temporary), stored by heap")
# PostgreSQL shows another type of the same name in quotes, or with its schema.
_TYPES: Final = (
    r'bigint|boolean|bytea|character|"char"|character varying|cidr|date|double precision|inet|integer|interval|jsonb?'
    r"|numeric|oid|real|smallint|text|uuid"
)
_PLAIN_COLUMN: Final = re.compile(
    rf"(?:(?:{_TYPES})(?:\([0-9,]+\))?|time(?:stamp)?(?:\([0-9]\))? with(?:out)? time zone)(?:\[\])?"
    r"(?: COLLATE \S+)?(?: NOT NULL)?(?: IDENTITY [ad])?(?: DEFAULT .*)?",
    re.DOTALL,
)
_RELATIONS: Final = ("view ", "materialised view ", "foreign table ", "sequence ", "type ")
_HARMLESS: Final = ("constraint ", "trigger ", "collation ")


def may_run_code(found: Sequence[SchemaObject], expected: Mapping[str, str]) -> bool:
    """Whether an object that differs may make PostgreSQL run foreign code when it reads a table of AuthSec."""
    number = Counter(each.name for each in found)
    differing = [each for each in found if expected.get(each.name) != each.definition or number[each.name] > 1]
    tables = {
        each.name.removeprefix("table ")
        for each in found
        if expected.get(each.name) == each.definition or _PLAIN_TABLE.fullmatch(each.definition)
    }
    return not all(_is_harmless(each, expected, tables) for each in differing)


def lacks_a_table(found: Sequence[SchemaObject], expected: Mapping[str, str]) -> bool:
    """Whether a table or sequence of the migrations is missing. A view of an extension, which no listing has, may have
    its name.
    """
    present = {each.name for each in found}
    return any(name.startswith(("table ", "sequence ")) and name not in present for name in expected)


def may_run_unread(table: str, name: str, expected: Mapping[str, str]) -> bool:
    """Whether PostgreSQL may run an object of this table whose definition cannot be read.

    PostgreSQL computes no policy without row security, and a constraint only for partitions or other child tables.
    """
    has_children = f"table {table}" not in expected or table == "events"
    return not name.startswith("policy ") and (has_children or not name.startswith("constraint "))


def has_all_of(table: str, found: Sequence[SchemaObject], expected: Mapping[str, str]) -> bool:
    """Whether the table has all columns, constraints and indexes of the migrations, each unchanged and once."""
    number = Counter(each.name for each in found)
    present = {each.name: each.definition for each in found if number[each.name] == 1}
    own = re.compile(rf"table {table}|column {table}\..*|(?:constraint|index) .* of {table}")
    return all(present.get(name) == definition for name, definition in expected.items() if own.fullmatch(name))


def _is_harmless(each: SchemaObject, expected: Mapping[str, str], tables: Set[str]) -> bool:
    definition, _, calls = each.definition.partition(CALLING)
    if "." in calls or TOO_LONG in definition:  # names of PostgreSQL's own functions have no point
        return False
    kind, _, name = each.name.partition(" ")
    if kind == "table":
        return _PLAIN_TABLE.fullmatch(definition) is not None
    if kind == "column":
        return _PLAIN_COLUMN.fullmatch(definition) is not None
    if kind == "index":
        return not any(mark in definition for mark in FOREIGN_MARKS)
    if kind == "partition":
        # A child in another schema has a name with a point. No listing has the indexes of such a child.
        return name in tables and "by inheritance" not in definition
    if each.name in expected:
        return each.name.startswith(("constraint ", "trigger "))
    for relation in _RELATIONS:
        if each.name.startswith(relation):  # nothing reads it, unless a table has its name
            name = each.name.removeprefix(relation)
            return f"table {name}" not in expected and f"sequence {name}" not in expected
    return each.name.startswith(_HARMLESS)
