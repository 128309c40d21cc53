"""Find rows of PostgreSQL's catalogs that have one name.

The attack: `relhasindex = false` keeps an index on a catalog from changing. So a superuser gives a schema the name of
another one. Sessions find the genuine schema by the index, and a read of the whole catalog finds both.

Another attack: somebody makes tables with millions of columns. So a first pass keeps eight octets of each row, and a
second pass counts only the rows that may have a namesake.
"""

from __future__ import annotations

import secrets
from array import array
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b, sha256
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
_KEY_BYTES: Final = 16
_BUCKETS: Final = 256


def same_names(driver: psycopg.Connection[Any]) -> Iterator[str]:
    """Yield a sentence for each name that several rows of a catalog have, without planning a statement.

    If the role may not read a catalog, the caller can afterwards only roll back its transaction.
    """
    try:
        for catalog, columns in _NAMED.items():
            if suspects := _suspects(copied_rows(driver, catalog, columns), key := secrets.token_bytes(_KEY_BYTES)):
                yield from _confirmed(driver, catalog, suspects, key)
    except CatalogDenied as error:
        yield f"PostgreSQL's own catalog {error.catalog} cannot be read: this role lacks the permission."


def _suspects(rows: Iterator[bytes], key: bytes) -> set[int]:
    """Return the short hashes that several rows have. The key is random, so nobody can choose rows with one hash."""
    buckets = [array("Q") for _ in range(_BUCKETS)]  # a set of all would take ten times the memory
    for row in rows:
        short = _short(row, key)
        buckets[short % _BUCKETS].append(short)
    found = set[int]()
    for bucket in buckets:
        found.update(each for each, number in Counter(bucket).items() if number > 1)
    return found


def _short(row: bytes, key: bytes) -> int:
    return int.from_bytes(blake2b(row, digest_size=8, key=key).digest())


def _confirmed(driver: psycopg.Connection[Any], catalog: str, suspects: set[int], key: bytes) -> Iterator[str]:
    numbers, names = Counter[bytes](), dict[bytes, str]()
    for row in copied_rows(driver, catalog, _NAMED[catalog]):
        if _short(row, key) in suspects:
            digest = sha256(row).digest()  # a row may have megabytes
            numbers[digest] += 1
            if numbers[digest] > 1:
                names[digest] = name_of(fields_of(row)[0])
    for digest, name in names.items():
        yield f"{numbers[digest]} rows of PostgreSQL's own catalog {catalog} have the name {name}."
