"""Find foreign keys that refer to a missing row.

The attack: raw SQL takes a delegation away while somebody deletes the delegation's role, and inserts the delegation
again. Every digest matches (`table_check`), because the deletion did not write to the delegation. SQLite compares
foreign keys only for connections that ask for it. PostgreSQL compares no foreign key while a superuser has disabled its
triggers, or in a session with `session_replication_role = replica`. Afterwards, no catalog shows this.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Final

from authsec_server.audit.scratch_database import scratch_database
from authsec_server.audit.sealing.scan import Scan, octets_of
from authsec_server.db.catalog import ForeignKey, foreign_keys

MOST: Final = 5  # missing rows of one foreign key that are listed; further ones are only counted
_LONGEST: Final = 80  # characters of an id in a finding
_SCRATCH: Final = (
    "CREATE TABLE kept (name TEXT, id BLOB, PRIMARY KEY (name, id)) WITHOUT ROWID",
    "CREATE TABLE referred (number INTEGER, id BLOB, PRIMARY KEY (number, id)) WITHOUT ROWID",
)


def findings(scan: Scan) -> list[str]:
    """Report each missing row in a sentence.

    A missing table or column is not reported here: the schema check reports it.
    """
    with closing(scratch_database(*_SCRATCH)) as scratch:
        for name, column in sorted({(each.parent, each.parent_column) for each in foreign_keys()}):
            kept = ((name, id_) for id_ in _values(scan, name, column))
            scratch.executemany("INSERT OR IGNORE INTO kept VALUES (?, ?)", kept)
        for number, key in enumerate(foreign_keys()):
            referred = ((number, id_) for id_ in _values(scan, key.table, key.column))
            scratch.executemany("INSERT OR IGNORE INTO referred VALUES (?, ?)", referred)
        return [each for number, key in enumerate(foreign_keys()) for each in _missing(scratch, number, key)]


def _values(scan: Scan, table: str, column: str) -> Iterator[bytes]:
    """Yield each value of the column. NULL refers to no row."""
    if column in scan.columns(table):
        yield from (octets_of(value) for (value,) in scan.rows(table, column) if value is not None)


def _missing(scratch: sqlite3.Connection, number: int, key: ForeignKey) -> Iterator[str]:
    found = scratch.execute(
        "SELECT r.id FROM referred r WHERE r.number = ? AND NOT EXISTS"
        " (SELECT 1 FROM kept k WHERE k.name = ? AND k.id = r.id) ORDER BY r.id",
        (number, key.parent),
    )
    for (id_,) in islice(found, MOST):
        yield f"Rows of {key.table} have the {key.column} {_shown(id_)}, but {key.parent} has no such row."
    if more := sum(1 for _ in found):
        yield f"Rows of {key.table} refer to {more:,} more rows of {key.parent} that are missing."


def _shown(id_: bytes) -> str:
    """Return the id in a form that is safe for a terminal and a server log."""
    shown = id_.decode("utf-8", "backslashreplace")
    return shown if shown.isascii() and shown.isprintable() and len(shown) <= _LONGEST else ascii(shown[:_LONGEST])
