"""Find foreign code: code that is not AuthSec's, and that PostgreSQL would run in a session of AuthSec.

The attack: the planner evaluates the expressions of extended statistics, and event triggers run beside a
statement of AuthSec. Both can run functions of the attacker in the session of a server or of `verify`. Such a
function sets another search path or makes temporary tables, so that the session reads other tables.

So this check comes first in each session, and reads the catalogs only with `COPY` (see `catalog_copy`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from authsec_server.db import foreign_classes, namesakes
from authsec_server.db.catalog_copy import (
    CatalogDenied,
    Fields,
    ForeignCode,
    copied_rows,
    fields_of,
    name_of,
    oid_of,
    replaced_catalogs,
)
from authsec_server.db.postgresql_queries import FIRST_UNPINNED

_HARMLESS: Final = frozenset({b"n", b"p", b"u"})  # constraints on catalogs, by initdb: NOT NULL, PRIMARY KEY, UNIQUE


@dataclass(frozen=True, slots=True)
class _Place:
    """A catalog that can have foreign code.

    `columns` are the columns to read. `is_foreign` says whether a row with these columns has foreign code.
    `describe` makes the finding from such a row.
    """

    catalog: str
    columns: str
    is_foreign: Callable[[Fields], bool]
    describe: Callable[[Fields], ForeignCode]


def _is_catalog(field: bytes | None) -> bool:
    return 0 < oid_of(field) < FIRST_UNPINNED


def _statistics(row: Fields) -> ForeignCode:
    return ForeignCode(
        f"The extended statistics {name_of(row[0])} have an expression, which PostgreSQL runs while it plans.",
        "Run DROP STATISTICS, also if an operator made them on purpose. Statistics of plain columns may stay.",
    )


def _event_trigger(row: Fields) -> ForeignCode:
    return ForeignCode(
        f"The database has the event trigger {name_of(row[0])}: it runs foreign code in the sessions of AuthSec.",
        "Run DROP EVENT TRIGGER for each row of pg_event_trigger, or give AuthSec a database of its own.",
    )


def _on_catalog(what: str) -> Callable[[Fields], ForeignCode]:
    def describe(row: Fields) -> ForeignCode:
        return ForeignCode(
            f"PostgreSQL's own catalog with the oid {oid_of(row[0])} has {what} that PostgreSQL does not create.",
            f"SELECT {oid_of(row[0])}::regclass names the catalog. Find who changed it, and restore a backup.",
        )

    return describe


_IN_ANY_PLACE: Final = (
    _Place("pg_statistic_ext", "stxname, stxexprs", lambda row: row[1] is not None, _statistics),
    _Place("pg_event_trigger", "evtname", lambda _: True, _event_trigger),
)
_ON_CATALOGS: Final = (
    _Place(
        "pg_index",
        "indrelid, indexrelid, indexprs, indpred",
        lambda row: _is_catalog(row[0]) and (not _is_catalog(row[1]) or (row[2], row[3]) != (None, None)),
        _on_catalog("an index"),
    ),
    _Place("pg_attrdef", "adrelid", lambda row: _is_catalog(row[0]), _on_catalog("a default")),
    _Place("pg_rewrite", "ev_class", lambda row: _is_catalog(row[0]), _on_catalog("a rule")),
    _Place("pg_inherits", "inhparent", lambda row: _is_catalog(row[0]), _on_catalog("a child table")),
    _Place("pg_trigger", "tgrelid", lambda row: _is_catalog(row[0]), _on_catalog("a trigger")),
    _Place(
        "pg_constraint",
        "conrelid, contype",
        lambda row: _is_catalog(row[0]) and row[1] not in _HARMLESS,
        _on_catalog("a constraint"),
    ),
)


def foreign_code(driver: psycopg.Connection[Any], *, briefly: bool = False) -> Iterator[ForeignCode]:
    """Yield the foreign code that PostgreSQL would run in this session.

    `briefly` leaves out code that is attached to PostgreSQL's own catalogs, `foreign_classes` and `namesakes`. If the
    role may not read a catalog, the caller can afterwards only roll back its transaction.
    """
    checks = _IN_ANY_PLACE if briefly else (*_IN_ANY_PLACE, *_ON_CATALOGS)
    names = [check.catalog for check in checks] + ([] if briefly else [*foreign_classes.CATALOGS, *namesakes.CATALOGS])
    if replaced := next(replaced_catalogs(driver, tuple(dict.fromkeys(names))), None):
        yield replaced
        return
    try:
        for check in checks:
            # All rows are read before the first finding. No row is kept, because a row may have megabytes.
            rows = map(fields_of, copied_rows(driver, check.catalog, check.columns))
            yield from [check.describe(row) for row in rows if check.is_foreign(row)]
        if not briefly:
            yield from foreign_classes.foreign_classes(driver)
            yield from namesakes.namesakes(driver)
    except CatalogDenied as error:
        yield ForeignCode(
            f"PostgreSQL's own catalog {error.catalog} cannot be read: this role lacks the permission.",
            f"Run as a superuser: GRANT SELECT ON pg_catalog.{error.catalog} TO PUBLIC.",
        )
