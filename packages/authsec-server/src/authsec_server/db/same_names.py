"""Find rows of PostgreSQL's catalogs that have one name.

The attack: `relhasindex = false` keeps an index on a catalog from changing. So a superuser gives a schema the name of
another one. Sessions find the genuine schema by the index, and a read of the whole catalog finds both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

import psycopg

from authsec_server.db.catalog_copy import CatalogDenied, copied_rows, fields_of, name_of

_NAMED: Final = {
    "pg_namespace": "nspname",
    "pg_class": "relname, relnamespace",
    "pg_attribute": "attname, attrelid",
    "pg_proc": "proname, proargtypes, pronamespace",
    "pg_operator": "oprname, oprleft, oprright, oprnamespace",
    "pg_type": "typname, typnamespace",
}


def same_names(driver: psycopg.Connection[Any]) -> Iterator[str]:
    """Yield a sentence for each name that several rows of a catalog have, without planning a statement.

    If the role may not read a catalog, the caller can afterwards only roll back its transaction.
    """
    try:
        for catalog, columns in _NAMED.items():
            numbers, names = Counter[bytes](), dict[bytes, str]()
            for row in copied_rows(driver, catalog, columns):
                key = sha256(row).digest()  # a row may have megabytes
                numbers[key] += 1
                if numbers[key] > 1:
                    names[key] = name_of(fields_of(row)[0])
            for key, name in names.items():
                yield f"{numbers[key]} rows of PostgreSQL's own catalog {catalog} have the name {name}."
    except CatalogDenied as error:
        yield f"PostgreSQL's own catalog {error.catalog} cannot be read: this role lacks the permission."
