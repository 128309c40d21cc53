"""Find built-in types whose values are shown, sent or received by foreign functions.

The attack: `ALTER TYPE regproc SET (SEND = …)`. Such a function sends the binary values from which the digests of the
catalogs are computed, so it may hide itself. So this check reads texts: no procedural language can make a function
that shows a value as a text.

A text has the name of a function. So each name must belong to one function of `pg_catalog`, which is PostgreSQL's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg

from authsec_server.db.catalog_copy import copied_texts
from authsec_server.db.postgresql_queries import FIRST_UNPINNED

_PG_CATALOG: Final = "11"  # the oids of this schema and of this language
_INTERNAL: Final = "12"
# The types of the columns that checks read, by their oids: the beginning of the names of their functions.
_TYPES: Final = {
    "16": "bool",
    "18": "char",
    "19": "name",
    "21": "int2",
    "22": "int2vector",
    "23": "int4",
    "24": "regproc",
    "25": "text",
    "26": "oid",
    "27": "tid",
    "30": "oidvector",
    "194": "pg_node_tree_",
    "1002": "array_",
    "1009": "array_",
    "1028": "array_",
}
_COLUMNS: Final = {"typoutput": ("out", "shown"), "typreceive": ("recv", "received"), "typsend": ("send", "sent")}


def replaced_type_functions(driver: psycopg.Connection[Any]) -> Iterator[str]:
    """Yield a sentence for each function of a built-in type that is not PostgreSQL's own. No statement is planned."""
    own = _own_functions(driver)
    missing = {**_TYPES}
    for row in copied_texts(driver, "pg_catalog.pg_type", ("oid", "typname", *_COLUMNS)):
        oid, name, *functions = (value or "" for value in row)
        if (stem := missing.pop(oid, None)) is None:
            continue
        for function, (end, done) in zip(functions, _COLUMNS.values(), strict=True):
            if function.removeprefix("pg_catalog.") != stem + end or not own.get(stem + end):
                values = f"Values of PostgreSQL's own type {name}"
                yield f"{values} are {done} by the function {function}, which is not PostgreSQL's own."
    for oid in missing:
        yield f"PostgreSQL's own type with the oid {oid} is missing."


def _own_functions(driver: psycopg.Connection[Any]) -> Mapping[str, bool]:
    """Return for each function name in `pg_catalog` whether only one function, of PostgreSQL itself, has this name."""
    found = dict[str, bool]()
    columns = ("oid", "proname", "pronamespace", "prolang", "prosrc")
    for row in copied_texts(driver, "pg_catalog.pg_proc", columns):
        oid, name, schema, language, source = (value or "" for value in row)
        if schema == _PG_CATALOG:
            is_own = int(oid) < FIRST_UNPINNED and language == _INTERNAL and source == name
            found[name] = is_own and name not in found
    return found
