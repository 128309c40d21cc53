"""Find objects that PostgreSQL would choose instead of its own for a statement of AuthSec.

The attack: several functions or operators may have one name, and PostgreSQL chooses among them by the types of the
arguments. An attacker adds `=` for `varchar`. PostgreSQL uses it instead of the built-in `=` for `text`, and a filter
omits events. A function that lies about the catalogs hides itself from `verify`.

PostgreSQL looks for names only in `pg_catalog` and in AuthSec's schema. So in `pg_catalog` nobody may add a function or
operator that has the name of a built-in one. A literal without a type can become a value of any type, so the types of
the arguments make no difference there. The statements of the checks have such literals, and look for names only there.

In AuthSec's schema nobody may add such a function or operator for values of a built-in type. Other additions are
allowed, because a company may have an extension such as `citext` there. In statements that look for names there, the
literals have types. In neither schema may anybody add a type that has the name of a built-in function. In no schema
may anybody add

- a cast between built-in types, which `::` would use, or an implicit cast from a built-in type;
- a default operator class for a built-in type;
- a built-in operator to an operator family, or an access method for indexes with families of its own: the planner asks
  every family of an operator which rows a condition leaves out.

An object that belongs to an extension is no exception: one statement makes any object a member.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import unpack_from
from typing import Any, Final

import psycopg

from authsec_server.db.catalog_copy import Fields, ForeignCode, copied_rows, fields_of, name_of, oid_of, oids_of
from authsec_server.db.postgresql_queries import FIRST_NORMAL, FIRST_UNPINNED

CATALOGS: Final = (
    "pg_am", "pg_amop", "pg_cast", "pg_class", "pg_namespace", "pg_opclass", "pg_operator", "pg_proc", "pg_type",
)  # fmt: skip
_PG_CATALOG: Final = 11  # the oid of this schema
_TEXT: Final = 25  # the oid of this type
_OF_AUTHSEC: Final = b"sealed_events"  # a table that only AuthSec has
_SORTING: Final = frozenset({403, 405})  # the oids of the access methods btree and hash, whose classes compare values
_REMEDY: Final = (
    "Find who made the object, and drop the object. If an extension has it, move the extension to another schema:"
    " ALTER EXTENSION name SET SCHEMA other."
)
# The operators of AuthSec's statements. For `+` and `-`, PostgreSQL always has one for exactly the types of AuthSec.
_OPERATORS_USED: Final = frozenset(b"= <> < <= > >= ~~ !~~ ~~* !~~* || -> ->>".split())
# Functions and operators that statements call with a literal first. A literal without a type could become a value of
# any type. In statements that look for names in AuthSec's schema, each literal in a call has a type.
_BEGIN_WITH_A_TEXT: Final = frozenset(b"|| concat_ws current_setting format set_config timezone".split())


def namesakes(driver: psycopg.Connection[Any]) -> Iterator[ForeignCode]:
    """Find each object that PostgreSQL would choose instead of its own for a statement of AuthSec."""
    schemas = {_PG_CATALOG, *_schemas_of_authsec(driver)}
    functions, own_functions = _new_rows(driver, "pg_proc", "oid, pronamespace, proname, proargtypes", schemas)
    built_in = frozenset(map(_third_field, own_functions))
    added = [
        *_added_operators(driver, schemas),
        *_added_functions(functions, built_in),
        *_added_types(driver, schemas, built_in),
    ]
    if added:  # in few databases: so the types and schemas are seldom read
        names = {row[0]: row[1] for row in map(fields_of, copied_rows(driver, "pg_namespace", "oid, nspname"))}
        own = _types_of_built_in_values(driver)
        for each in added:
            if each.takes(own):
                yield ForeignCode(
                    f"The {each.what} {name_of(names.get(each.schema))}.{name_of(each.name)} has a built-in name of"
                    " PostgreSQL, so a statement of AuthSec may use it instead of the built-in one.",
                    _REMEDY,
                )
    yield from _casts(driver)
    yield from _operator_classes(driver)
    yield from _operator_families(driver)
    yield from _access_methods(driver)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Added:
    """A function, operator or type that was added to one of the two schemas.

    `arguments` are the oids of the argument types, which decide whether PostgreSQL may choose the object.
    """

    what: str
    schema: bytes | None
    name: bytes | None
    arguments: Sequence[int]

    def takes(self, own: frozenset[int]) -> bool:
        """Whether PostgreSQL may choose this object for values of these types, or for literals without a type."""
        return oid_of(self.schema) == _PG_CATALOG or any(each in own for each in self.arguments)


def _schemas_of_authsec(driver: psycopg.Connection[Any]) -> Iterator[int]:
    for row in copied_rows(driver, "pg_class", "relnamespace, relname"):
        if row.endswith(_OF_AUTHSEC):
            schema, name = fields_of(row)
            if name == _OF_AUTHSEC:
                yield oid_of(schema)


def _added_operators(driver: psycopg.Connection[Any], schemas: set[int]) -> Iterator[_Added]:
    for row in _new_rows(driver, "pg_operator", "oid, oprnamespace, oprname, oprleft, oprright", schemas)[0]:
        _, schema, name, left, right = fields_of(row)
        if name is not None and name in _OPERATORS_USED:
            arguments = [oid for oid in (oid_of(left), oid_of(right)) if oid]
            yield _Added(what="operator", schema=schema, name=name, arguments=_decisive(name, arguments))


def _added_functions(rows: Sequence[bytes], built_in: frozenset[bytes]) -> Iterator[_Added]:
    for row in rows:
        _, schema, name, types = fields_of(row)
        if name in built_in:
            yield _Added(what="function", schema=schema, name=name, arguments=_decisive(name, oids_of(types or b"")))


def _added_types(driver: psycopg.Connection[Any], schemas: set[int], built_in: frozenset[bytes]) -> Iterator[_Added]:
    """Find types with the name of a function: PostgreSQL may take a call of the function for a cast to the type.

    The views of PostgreSQL itself have types, some with the name of a function that AuthSec never calls: `pg_config`.
    """
    for row in _new_rows(driver, "pg_type", "oid, typnamespace, typname, typrelid", schemas)[0]:
        oid, schema, name, relation = fields_of(row)
        is_of_view = oid_of(oid) < FIRST_NORMAL and oid_of(relation) and (name or b"").startswith(b"pg_")
        if name in built_in and not is_of_view:
            yield _Added(what="type", schema=schema, name=name, arguments=[_TEXT])


def _decisive(name: bytes, arguments: Sequence[int]) -> Sequence[int]:
    return arguments if name in _BEGIN_WITH_A_TEXT else arguments[:1]


def _new_rows(
    driver: psycopg.Connection[Any], catalog: str, columns: str, schemas: set[int]
) -> tuple[list[bytes], list[bytes]]:
    """Return the rows of objects in these schemas: first the added objects, then the objects of PostgreSQL itself.

    The first two columns must be the oid of the object and that of its schema.
    """
    new, own = list[bytes](), list[bytes]()
    for row in copied_rows(driver, catalog, columns):
        oid, _, schema = unpack_from(">III", row, 6)
        if schema in schemas:
            (new if oid >= FIRST_UNPINNED else own).append(row)
    return new, own


def _third_field(row: bytes) -> bytes:
    """Return the third field of a row in which two oids come first. `fields_of` takes much longer."""
    (length,) = unpack_from(">I", row, 18)
    return row[22 : 22 + length]


def _added_rows(driver: psycopg.Connection[Any], catalog: str, columns: str) -> Iterator[Fields]:
    """Yield the fields of each row that is not built into PostgreSQL. The first column must be the oid."""
    for row in copied_rows(driver, catalog, columns):
        (oid,) = unpack_from(">I", row, 6)
        if oid >= FIRST_UNPINNED:
            yield fields_of(row)


def _types_of_built_in_values(driver: psycopg.Connection[Any]) -> frozenset[int]:
    """Return the oids of the built-in types, and of their domains and arrays."""
    others = dict[int, int]()
    for row in copied_rows(driver, "pg_type", "oid, typbasetype, typelem"):
        oid, base, element = map(oid_of, fields_of(row))
        if oid >= FIRST_NORMAL:
            others[oid] = base or element

    def is_own(oid: int) -> bool:
        while oid >= FIRST_NORMAL:  # a domain of a domain, an array of a domain
            oid = others.get(oid, 0)
        return oid > 0

    return frozenset({*range(1, FIRST_NORMAL), *filter(is_own, others)})


def _casts(driver: psycopg.Connection[Any]) -> Iterator[ForeignCode]:
    for row in _added_rows(driver, "pg_cast", "oid, castsource, casttarget, castcontext"):
        oid, source, target = map(oid_of, row[:3])
        used = row[3] == b"i" or target < FIRST_NORMAL
        if source < FIRST_NORMAL and used:
            yield ForeignCode(
                f"The cast with the oid {oid} converts values of a built-in type in statements of AuthSec.",
                f"The row {oid} of pg_cast shows the cast. Find who made the cast, and run DROP CAST. If an extension"
                " needs the cast, give AuthSec its own database.",
            )


def _is_added(oid: int, family: int) -> bool:
    """Whether somebody added this row to an operator family. The row's oid is no proof: a superuser can choose it."""
    return max(oid, family) >= FIRST_UNPINNED


def _operator_classes(driver: psycopg.Connection[Any]) -> Iterator[ForeignCode]:
    for row in map(
        fields_of, copied_rows(driver, "pg_opclass", "oid, opcfamily, opcmethod, opcintype, opcdefault, opcname")
    ):
        oid, family, method, of_type = map(oid_of, row[:4])
        if _is_added(oid, family) and method in _SORTING and of_type < FIRST_NORMAL and row[4] == b"\x01":
            yield ForeignCode(
                f"The operator class {name_of(row[5])} compares values of a built-in type in another way than"
                " PostgreSQL.",
                _REMEDY,
            )


def _operator_families(driver: psycopg.Connection[Any]) -> Iterator[ForeignCode]:
    for row in copied_rows(driver, "pg_amop", "oid, amopfamily, amopmethod, amopopr"):
        if not _is_added(*unpack_from(">I4xI", row, 6)):
            continue
        oid, family, method, operator = map(oid_of, fields_of(row))
        if method in _SORTING and min(family, operator) < FIRST_UNPINNED:
            yield ForeignCode(
                f"Somebody added the operator with the oid {operator} to the operator family with the oid {family}."
                " The operator can make PostgreSQL's planner leave out rows.",
                f"The row {oid} of pg_amop shows the operator. Find who added the operator. Run DROP OPERATOR FAMILY,"
                " or ALTER OPERATOR FAMILY … DROP.",
            )


def _access_methods(driver: psycopg.Connection[Any]) -> Iterator[ForeignCode]:
    """Find foreign index access methods. Such a method can be a renamed btree with its own operator families."""
    for row in _added_rows(driver, "pg_am", "oid, amtype, amname"):
        if row[1] == b"i":
            yield ForeignCode(
                f"The index access method {name_of(row[2])} is not one of PostgreSQL's own. The method can make"
                " PostgreSQL's planner leave out rows.",
                "Find who made the access method, and run DROP ACCESS METHOD. If an extension needs the method, give"
                " AuthSec its own database.",
            )
